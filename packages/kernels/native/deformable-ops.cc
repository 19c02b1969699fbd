// Multi-scale deformable attention as TensorFlow operations, forward and backward (Zhu et al. 2021, arXiv 2010.04159): each
// query and head samples a few points of several maps, bilinearly, and sums them by their weights.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernel-table.h"
#include "operation.h"
#include "threads.h"

namespace rass {
namespace {

constexpr long kCorners = 4;
// Rows summed by a part of the forward pass: below that a thread is not worth waking.
constexpr long kRowsPerPart = 1 << 12;

struct NoOptions {
  explicit NoOptions(const Attributes&) {}
};

struct Level {
  long rows, columns, start;
};

// The sizes of everything. value [B, S, N, K], sizes [G, 2], locations [B, L, N, P, 2], weights [B, L, N, P]
struct Sizes {
  Sizes(const InputTensor& value, const InputTensor& sizes, const InputTensor& locations, const InputTensor& weights) {
    require(value.shape.size() == 4 && sizes.shape.size() == 2 && sizes.last() == 2 && weights.shape.size() == 4 &&
                locations.size() == 2 * weights.size() && weights.shape[0] == value.shape[0] &&
                weights.shape[2] == value.shape[2] && sizes.shape[0] > 0 && weights.last() % sizes.shape[0] == 0,
            "deformable attention: value [B, S, N, K], sizes [G, 2], locations [B, L, N, P, 2], weights [B, L, N, P]",
            {&value.shape, &sizes.shape, &locations.shape, &weights.shape});
    batch = value.shape[0], pixels = value.shape[1], heads = value.shape[2], channels = value.shape[3];
    queries = weights.shape[1], points = weights.shape[3];
    long start = 0;
    for (long g = 0; g < sizes.shape[0]; g++) {
      levels.push_back({static_cast<long>(sizes.data[2 * g]), static_cast<long>(sizes.data[2 * g + 1]), start});
      start += levels.back().rows * levels.back().columns;
    }
    require(start == pixels, "deformable attention: S is all levels' pixels", {&value.shape, &sizes.shape});
    per_level = points / static_cast<long>(levels.size());
  }
  long batch, pixels, heads, channels, queries, points, per_level;
  std::vector<Level> levels;

  long stride() const { return heads * channels; }
  long row(long image, long query, long head) const { return (image * queries + query) * heads + head; }
  long value_offset(long image, long head) const { return image * pixels * stride() + head * channels; }
};

// The pixels around the points of one query and head: those inside of their maps.
struct Corners {
  explicit Corners(long points)
      : offset(static_cast<std::size_t>(points * kCorners)),
        point(offset.size()),
        share(offset.size()),
        by_x(offset.size()),
        by_y(offset.size()) {}
  long count = 0;
  std::vector<long> offset;  // floats from the value's first pixel
  std::vector<long> point;
  std::vector<float> share;       // of the corner in the point's value
  std::vector<float> by_x, by_y;  // its derivatives by the place in parts of the map

  void find(const Sizes& s, const float* locations) {
    count = 0;
    const long stride = s.stride();
    long p = 0;
    for (const Level& level : s.levels) {
      const float width = static_cast<float>(level.columns), height = static_cast<float>(level.rows);
      for (long i = 0; i < s.per_level; i++, p++) {
        const float x = locations[2 * p] * width - 0.5f, y = locations[2 * p + 1] * height - 0.5f;
        // Also leaves out what is not a number.
        if (!(x > -1.0f && y > -1.0f && x < width && y < height)) continue;
        const float left = std::floor(x), top = std::floor(y);
        const float right = x - left, below = y - top;
        const long column = static_cast<long>(left), row = static_cast<long>(top);
        for (long corner = 0; corner < kCorners; corner++) {
          const long dx = corner & 1, dy = corner >> 1;
          const long cx = column + dx, cy = row + dy;
          if (cx < 0 || cy < 0 || cx >= level.columns || cy >= level.rows) continue;
          const float of_x = dx ? right : 1.0f - right, of_y = dy ? below : 1.0f - below;
          const std::size_t at = static_cast<std::size_t>(count++);
          offset[at] = (level.start + cy * level.columns + cx) * stride;
          point[at] = p;
          share[at] = of_x * of_y;
          by_x[at] = (dx ? of_y : -of_y) * width;
          by_y[at] = (dy ? of_x : -of_x) * height;
        }
      }
    }
  }
};

// What a thread works with, made once for each part.
struct Workspace {
  explicit Workspace(long points)
      : corners(points), rows(corners.offset.size()), grads(rows.size()), factors(rows.size()), dots(rows.size()) {}
  Corners corners;
  std::vector<const float*> rows;
  std::vector<float*> grads;
  std::vector<float> factors, dots;
};

void run_deformable(const NoOptions&, Context& context) {
  const InputTensor value = context.input(0), sizes = context.input(1), locations = context.input(2),
                    weights = context.input(3);
  const Sizes s(value, sizes, locations, weights);
  float* out = context.output(0, {s.batch, s.queries, s.stride()});
  const long all = s.batch * s.queries * s.heads, parts = parts_of(all * s.points * kCorners, kRowsPerPart);
  parallel_for(parts, [&](long part, long) {
    Workspace w(s.points);
    const Range range = range_of(part, parts, all);
    for (long row = range.begin; row < range.end; row++) {
      const long head = row % s.heads, image = row / (s.heads * s.queries);
      w.corners.find(s, locations.data + row * s.points * 2);
      const float* base = value.data + s.value_offset(image, head);
      const float* weight = weights.data + row * s.points;
      for (long i = 0; i < w.corners.count; i++) {
        w.rows[i] = base + w.corners.offset[i];
        w.factors[i] = w.corners.share[i] * weight[w.corners.point[i]];
      }
      kernels().weighted_rows(w.rows.data(), w.factors.data(), w.corners.count, out + row * s.channels, s.channels);
    }
  });
}

// One query's and head's part in all three gradients.
void add_gradients(const Sizes& s, Workspace& w, long row, const float* value, const float* dy, const float* locations,
                   const float* weights, float* dvalue, float* dlocations, float* dweights) {
  w.corners.find(s, locations + row * s.points * 2);
  const Corners& c = w.corners;
  const float* weight = weights + row * s.points;
  float* dlocation = dlocations + row * s.points * 2;
  float* dweight = dweights + row * s.points;
  std::fill(dlocation, dlocation + s.points * 2, 0.0f);
  std::fill(dweight, dweight + s.points, 0.0f);
  for (long i = 0; i < c.count; i++) {
    w.rows[i] = value + c.offset[i];
    w.grads[i] = dvalue + c.offset[i];
    w.factors[i] = c.share[i] * weight[c.point[i]];
  }
  kernels().row_dots(w.rows.data(), c.count, dy, w.dots.data(), s.channels);
  kernels().add_to_rows(w.grads.data(), w.factors.data(), c.count, dy, s.channels);
  for (long i = 0; i < c.count; i++) {
    const long p = c.point[i];
    dweight[p] += c.share[i] * w.dots[i];
    dlocation[2 * p] += c.by_x[i] * weight[p] * w.dots[i];
    dlocation[2 * p + 1] += c.by_y[i] * weight[p] * w.dots[i];
  }
}

void run_deformable_grad(const NoOptions&, Context& context) {
  const InputTensor value = context.input(0), sizes = context.input(1), locations = context.input(2),
                    weights = context.input(3), dy = context.input(4);
  const Sizes s(value, sizes, locations, weights);
  require(dy.size() == s.batch * s.queries * s.stride(), "deformable attention: dy [B, L, N K]",
          {&value.shape, &weights.shape, &dy.shape});
  float* dvalue = context.output(0, value.shape);
  float* dlocations = context.output(1, locations.shape);
  float* dweights = context.output(2, weights.shape);
  std::fill(dvalue, dvalue + value.size(), 0.0f);
  // A head's queries all add to the same map: one thread has them, in order, and the sums are the same at each run.
  parallel_for(s.batch * s.heads, [&](long job, long) {
    Workspace w(s.points);
    const long image = job / s.heads, head = job % s.heads, offset = s.value_offset(image, head);
    for (long query = 0; query < s.queries; query++) {
      const long row = s.row(image, query, head);
      add_gradients(s, w, row, value.data + offset, dy.data + row * s.channels, locations.data, weights.data,
                    dvalue + offset, dlocations, dweights);
    }
  });
}

}  // namespace

void define_deformable_operations() {
  define_operation<NoOptions, run_deformable>(
      {"RassDeformableAttention", {"value", "sizes", "locations", "weights"}, {"out"}, {}});
  define_operation<NoOptions, run_deformable_grad>({"RassDeformableAttentionGrad",
                                                    {"value", "sizes", "locations", "weights", "dy"},
                                                    {"dvalue", "dlocations", "dweights"},
                                                    {}});
}

}  // namespace rass
