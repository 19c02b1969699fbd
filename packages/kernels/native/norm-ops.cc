// Group and layer normalisation over channels-last features as TensorFlow operations, forward and backward.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernel-table.h"
#include "operation.h"
#include "threads.h"

namespace rass {
namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

// Sums run in float32 over this many rows, then in float64.
constexpr long kRowsPerSum = 64;
constexpr long kElementsPerPart = 1 << 16;
constexpr long kElementsPerLayerNormPart = 1 << 14;

struct GroupNormOptions {
  explicit GroupNormOptions(const Attributes& a)
      : groups(a.integer("groups")), epsilon(a.number("epsilon")), silu(a.flag("silu")) {}
  long groups;
  float epsilon;
  bool silu;
};

// [batch, rows, channels], cut into parts of rows, the same ones whatever the number of threads.
struct Features {
  Features(const Shape& shape, long group_count) : groups(group_count) {
    channels = static_cast<long>(shape.back());
    batch = static_cast<long>(shape.front());
    const long per_image = batch == 0 ? 0 : size_of(shape) / batch;
    rows = channels == 0 ? 0 : per_image / channels;
    width = channels / groups;
    parts = std::max(1L, per_image / kElementsPerPart);
    parts = std::min(parts, std::max(1L, rows / kRowsPerSum));
  }
  long batch, rows, channels, groups, width, parts;

  long offset(long image, long row) const { return (image * rows + row) * channels; }
};

// Calls body(image, part, rows) for every part of every image.
template <typename Body>
void for_parts(const Features& f, Body body) {
  parallel_for(f.batch * f.parts, [&](long job, long) {
    const long image = job / f.parts, part = job % f.parts;
    body(image, part, range_of(part, f.parts, f.rows));
  });
}

// Two sums per channel over all rows of each image: add(image, rows, first, second) adds those of a few rows.
template <typename Add>
void channel_sums(const Features& f, Doubles& first, Doubles& second, Add add) {
  const long c = f.channels;
  Doubles partial(static_cast<std::size_t>(f.batch * f.parts * 2 * c));
  for_parts(f, [&](long image, long part, Range rows) {
    double* totals = partial.data() + (image * f.parts + part) * 2 * c;
    Floats few(static_cast<std::size_t>(2 * c));
    for (long row = rows.begin; row < rows.end; row += kRowsPerSum) {
      std::fill(few.begin(), few.end(), 0.0f);
      add(image, Range{row, std::min(rows.end, row + kRowsPerSum)}, few.data(), few.data() + c);
      for (long i = 0; i < 2 * c; i++) totals[i] += few[static_cast<std::size_t>(i)];
    }
  });
  first.assign(static_cast<std::size_t>(f.batch * c), 0.0);
  second.assign(static_cast<std::size_t>(f.batch * c), 0.0);
  for (long image = 0; image < f.batch; image++) {
    for (long part = 0; part < f.parts; part++) {
      const double* totals = partial.data() + (image * f.parts + part) * 2 * c;
      for (long i = 0; i < c; i++) {
        first[static_cast<std::size_t>(image * c + i)] += totals[i];
        second[static_cast<std::size_t>(image * c + i)] += totals[c + i];
      }
    }
  }
}

// Of each channel of each image: its group's mean and inverse deviation, and that times the channel's weight.
struct Statistics {
  Floats mean, inverse_deviation, scale;
};

// A value near each channel's mean: squares of differences from it do not cancel as squares of values would.
Floats shifts(const InputTensor& x, const Features& f) {
  constexpr long kSamples = 16;
  Floats shift(static_cast<std::size_t>(f.batch * f.channels), 0.0f);
  const long samples = std::min(kSamples, f.rows);
  for (long image = 0; image < f.batch; image++) {
    float* out = shift.data() + image * f.channels;
    for (long s = 0; s < samples; s++) {
      const float* row = x.data + f.offset(image, s * f.rows / samples);
      for (long c = 0; c < f.channels; c++) out[c] += row[c] / static_cast<float>(samples);
    }
  }
  return shift;
}

Statistics statistics(const InputTensor& x, const float* weight, const Features& f, float epsilon) {
  const Floats shift = shifts(x, f);
  Doubles sum, square_sum;
  channel_sums(f, sum, square_sum, [&](long image, Range rows, float* first, float* second) {
    kernels().moments(x.data + f.offset(image, rows.begin), shift.data() + image * f.channels, first, second,
                      rows.end - rows.begin, f.channels);
  });
  const std::size_t size = static_cast<std::size_t>(f.batch * f.channels);
  Statistics s{Floats(size), Floats(size), Floats(size)};
  const double rows = static_cast<double>(f.rows);
  for (long start = 0; start < f.batch * f.channels; start += f.width) {
    double mean = 0, square = 0;
    for (long i = start; i < start + f.width; i++) mean += shift[i] + sum[i] / rows;
    mean /= static_cast<double>(f.width);
    for (long i = start; i < start + f.width; i++) {
      const double offset = shift[i] + sum[i] / rows - mean;
      square += square_sum[i] - sum[i] * sum[i] / rows + rows * offset * offset;
    }
    const double variance = std::max(0.0, square / (rows * static_cast<double>(f.width)));
    const float inverse = static_cast<float>(1.0 / std::sqrt(variance + epsilon));
    for (long i = start; i < start + f.width; i++) {
      s.mean[i] = static_cast<float>(mean);
      s.inverse_deviation[i] = inverse;
      s.scale[i] = inverse * weight[i % f.channels];
    }
  }
  return s;
}

void check_group_norm(const InputTensor& x, const InputTensor& weight, const InputTensor& bias, long groups) {
  require(x.shape.size() >= 2 && groups > 0 && x.last() % groups == 0 && weight.size() == x.last() &&
              bias.size() == x.last(),
          "group norm: x [B, ..., C], weight [C], bias [C], groups that divide C",
          {&x.shape, &weight.shape, &bias.shape});
}

void run_group_norm(const GroupNormOptions& options, Context& context) {
  const InputTensor x = context.input(0), weight = context.input(1), bias = context.input(2);
  check_group_norm(x, weight, bias, options.groups);
  float* y = context.output(0, x.shape);
  if (x.size() == 0) return;
  const Features f(x.shape, options.groups);
  const Statistics s = statistics(x, weight.data, f, options.epsilon);
  for_parts(f, [&](long image, long, Range rows) {
    const long offset = f.offset(image, rows.begin), of_image = image * f.channels;
    kernels().affine(x.data + offset, s.mean.data() + of_image, s.scale.data() + of_image, bias.data, options.silu,
                     y + offset, rows.end - rows.begin, f.channels);
  });
}

// What the input's gradient subtracts: a constant and a multiple of the centred input, per channel of each image.
struct Correction {
  Floats constant, slope;
};

Correction correction(const Features& f, const Statistics& s, const float* weight, const Doubles& sum,
                      const Doubles& dot) {
  const std::size_t size = static_cast<std::size_t>(f.batch * f.channels);
  Correction result{Floats(size), Floats(size)};
  const double count = static_cast<double>(f.rows) * static_cast<double>(f.width);
  for (long start = 0; start < f.batch * f.channels; start += f.width) {
    double of_sum = 0, of_dot = 0;
    for (long i = start; i < start + f.width; i++) {
      of_sum += weight[i % f.channels] * sum[i];
      of_dot += weight[i % f.channels] * dot[i];
    }
    const double inverse = s.inverse_deviation[start];
    for (long i = start; i < start + f.width; i++) {
      result.constant[i] = static_cast<float>(inverse * of_sum / count);
      result.slope[i] = static_cast<float>(inverse * inverse * inverse * of_dot / count);
    }
  }
  return result;
}

void run_group_norm_grad(const GroupNormOptions& options, Context& context) {
  const InputTensor x = context.input(0), weight = context.input(1), bias = context.input(2), dy = context.input(3);
  check_group_norm(x, weight, bias, options.groups);
  require(x.shape == dy.shape, "group norm: dy has the shape of x", {&x.shape, &dy.shape});
  float* dx = context.output(0, x.shape);
  float* weight_grad = context.output(1, weight.shape);
  float* bias_grad = context.output(2, bias.shape);
  std::fill(weight_grad, weight_grad + weight.size(), 0.0f);
  std::fill(bias_grad, bias_grad + bias.size(), 0.0f);
  if (x.size() == 0) return;
  const Features f(x.shape, options.groups);
  const Statistics s = statistics(x, weight.data, f, options.epsilon);
  Doubles sum, dot;
  channel_sums(f, sum, dot, [&](long image, Range rows, float* first, float* second) {
    const long offset = f.offset(image, rows.begin), of_image = image * f.channels;
    kernels().affine_grad_sums(x.data + offset, dy.data + offset, s.mean.data() + of_image, s.scale.data() + of_image,
                               bias.data, options.silu, first, second, rows.end - rows.begin, f.channels);
  });
  const Correction c = correction(f, s, weight.data, sum, dot);
  for_parts(f, [&](long image, long, Range rows) {
    const long offset = f.offset(image, rows.begin), of_image = image * f.channels;
    kernels().affine_grad(x.data + offset, dy.data + offset, s.mean.data() + of_image, s.scale.data() + of_image,
                          bias.data, options.silu, c.constant.data() + of_image, c.slope.data() + of_image, dx + offset,
                          rows.end - rows.begin, f.channels);
  });
  for (long i = 0; i < f.batch * f.channels; i++) {
    weight_grad[i % f.channels] += static_cast<float>(dot[i] * s.inverse_deviation[i]);
    bias_grad[i % f.channels] += static_cast<float>(sum[i]);
  }
}

struct LayerNormOptions {
  explicit LayerNormOptions(const Attributes& a) : epsilon(a.number("epsilon")) {}
  float epsilon;
};

void check_layer_norm(const InputTensor& x, const InputTensor& weight) {
  require(!x.shape.empty() && weight.size() == x.last(), "layer norm: x [..., C], weight and bias [C]",
          {&x.shape, &weight.shape});
}

void run_layer_norm(const LayerNormOptions& options, Context& context) {
  const InputTensor x = context.input(0), weight = context.input(1), bias = context.input(2);
  check_layer_norm(x, weight);
  check_layer_norm(x, bias);
  float* y = context.output(0, x.shape);
  const long columns = static_cast<long>(x.last()), rows = columns == 0 ? 0 : x.size() / columns;
  const long parts = parts_of(rows, kElementsPerLayerNormPart / (columns + 1) + 1);
  parallel_for(parts, [&](long part, long) {
    const Range r = range_of(part, parts, rows);
    kernels().layer_norm(x.data + r.begin * columns, weight.data, bias.data, options.epsilon, y + r.begin * columns,
                         r.end - r.begin, columns);
  });
}

void run_layer_norm_grad(const LayerNormOptions& options, Context& context) {
  const InputTensor x = context.input(0), weight = context.input(1), dy = context.input(2);
  check_layer_norm(x, weight);
  require(x.shape == dy.shape, "layer norm: dy has the shape of x", {&x.shape, &dy.shape});
  float* dx = context.output(0, x.shape);
  float* weight_grad = context.output(1, weight.shape);
  float* bias_grad = context.output(2, weight.shape);
  const long columns = static_cast<long>(x.last()), rows = columns == 0 ? 0 : x.size() / columns;
  // The parts are the same ones whatever the number of threads, and so is the order of the sums.
  const long parts = std::max(1L, std::min(64L, rows / (kElementsPerLayerNormPart / (columns + 1) + 1)));
  Floats partial(static_cast<std::size_t>(parts * 2 * columns), 0.0f);
  parallel_for(parts, [&](long part, long) {
    const Range r = range_of(part, parts, rows);
    float* sums = partial.data() + part * 2 * columns;
    kernels().layer_norm_grad(x.data + r.begin * columns, weight.data, dy.data + r.begin * columns, options.epsilon,
                              dx + r.begin * columns, sums, sums + columns, r.end - r.begin, columns);
  });
  for (long c = 0; c < columns; c++) {
    double of_weight = 0, of_bias = 0;
    for (long part = 0; part < parts; part++) {
      of_weight += partial[static_cast<std::size_t>(part * 2 * columns + c)];
      of_bias += partial[static_cast<std::size_t>(part * 2 * columns + columns + c)];
    }
    weight_grad[c] = static_cast<float>(of_weight);
    bias_grad[c] = static_cast<float>(of_bias);
  }
}

}  // namespace

void define_norm_operations() {
  const std::vector<const char*> group = {"groups: int", "epsilon: float", "silu: bool"}, layer = {"epsilon: float"};
  define_operation<GroupNormOptions, run_group_norm>({"RassGroupNorm", {"x", "weight", "bias"}, {"y"}, group});
  define_operation<GroupNormOptions, run_group_norm_grad>(
      {"RassGroupNormGrad", {"x", "weight", "bias", "dy"}, {"dx", "weight_grad", "bias_grad"}, group});
  define_operation<LayerNormOptions, run_layer_norm>({"RassLayerNorm", {"x", "weight", "bias"}, {"y"}, layer});
  define_operation<LayerNormOptions, run_layer_norm_grad>(
      {"RassLayerNormGrad", {"x", "weight", "dy"}, {"dx", "weight_grad", "bias_grad"}, layer});
}

}  // namespace rass
