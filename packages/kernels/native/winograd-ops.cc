// 3 x 3 convolutions of stride 1 with zeros around the image, and their gradients by the image, by Winograd's minimal
// filtering: 2.25 times fewer multiplications than the direct way.
//
// The image's tiles [16, tiles, inputs] times the weights [16, inputs, outputs] are 16 matrix products. One side is
// transformed as a whole and the other piece by piece, so that neither needs much memory: large images are met in
// blocks of tiles, and the large weights of small images in panels of outputs, whose transform never leaves the caches.
#include <algorithm>
#include <vector>

#include "kernel-table.h"
#include "operation.h"
#include "threads.h"

namespace rass {
namespace {

constexpr long kComponents = 16;
constexpr long kTaps = 9;
// What one thread transforms of an image at a time.
constexpr long kBlockBytes = 3 << 19;
// Input channels whose weights are gathered together: a cache line.
constexpr long kLineFloats = 16;
constexpr long kInputsAtOnce = kLineFloats;
// A row stride of a multiple of 4 KiB would put the rows of a tile into the same few places of the first-level cache.
constexpr long kStridePadding = 16;

// Floats between the 16 components of what has so many floats each. Components at multiples of 4 KiB from each other
// would compete for the same few places of the first-level cache.
long spread(long count) { return (count + 1023) / 1024 * 1024 + 48; }

long round_up(long count, long multiple) { return (count + multiple - 1) / multiple * multiple; }

struct ConvolutionOptions {
  explicit ConvolutionOptions(const Attributes& a) : transposed(a.flag("transposed")) {}
  // Whether this is the gradient by the image: the weights then are turned by 180 degrees and map outputs to inputs.
  bool transposed;
};

struct Convolution {
  Convolution(const Shape& x, const Shape& weight, bool transposed_weight)
      : batch(static_cast<long>(x[0])),
        height(static_cast<long>(x[1])),
        width(static_cast<long>(x[2])),
        inputs(static_cast<long>(x[3])),
        outputs(static_cast<long>(weight[transposed_weight ? 2 : 3])),
        transposed(transposed_weight),
        tile_rows((height + 1) / 2),
        tile_columns((width + 1) / 2),
        tiles(batch * tile_rows * tile_columns),
        stride(inputs + (inputs % 256 == 0 ? kStridePadding : 0)),
        panel(kernels().tile.columns),
        panels((outputs + panel - 1) / panel) {}
  long batch, height, width, inputs, outputs;
  bool transposed;
  long tile_rows, tile_columns, tiles;
  long stride;         // between transformed tiles
  long panel, panels;  // outputs are taken `panel` at a time

  long panel_width(long index) const { return std::min(panel, outputs - index * panel); }
};

struct Tile2 {
  long image, row, column;  // of the top left result
};

Tile2 tile_at(const Convolution& c, long index) {
  const long per_image = c.tile_rows * c.tile_columns, within = index % per_image;
  return {index / per_image, 2 * (within / c.tile_columns), 2 * (within % c.tile_columns)};
}

// Tiles [range) of the image to out [16 components, tiles, stride], which begins with the range's first tile.
void transform_tiles(const Convolution& c, const float* x, Range range, float* out, long component) {
  const std::vector<float> outside(static_cast<std::size_t>(c.inputs), 0.0f);
  for (long index = range.begin; index < range.end; index++) {
    const Tile2 tile = tile_at(c, index);
    const float* pixels[16];
    for (long i = 0; i < 16; i++) {
      const long row = tile.row - 1 + i / 4, column = tile.column - 1 + i % 4;
      const bool inside = row >= 0 && row < c.height && column >= 0 && column < c.width;
      pixels[i] = inside ? x + ((tile.image * c.height + row) * c.width + column) * c.inputs : outside.data();
    }
    kernels().winograd_input(pixels, out + (index - range.begin) * c.stride, component, c.inputs);
  }
}

// The taps of a few input channels and `width` outputs from `first` on, out of the weights of the forward pass,
// [3, 3, outputs here, inputs here], turned by 180 degrees: out [inputs, 9, width].
void gather_turned(const Convolution& c, const float* weight, Range inputs, long first, long width, float* out) {
  for (long tap = 0; tap < kTaps; tap++) {
    const float* from = weight + ((kTaps - 1 - tap) * c.outputs + first) * c.inputs;
    for (long o = 0; o < width; o++) {
      for (long i = inputs.begin; i < inputs.end; i++) {
        out[((i - inputs.begin) * kTaps + tap) * width + o] = from[o * c.inputs + i];
      }
    }
  }
}

// Asks for the taps of the input channel after the next: they lie too far apart for the processor to see it coming.
void prefetch_taps(const float* const* taps, long distance, long width) {
  for (long tap = 0; tap < kTaps; tap++) {
    for (long o = 0; o < width; o += kLineFloats) __builtin_prefetch(taps[tap] + distance + o);
  }
}

// The transformed weights of one panel of outputs, [16 components, inputs, panel].
struct PanelWeights {
  float* data;
  long component;

  static long size(const Convolution& c) { return kComponents * spread(c.inputs * c.panel); }
};

void transform_weights(const Convolution& c, const float* weight, long panel, const PanelWeights& out) {
  const long first = panel * c.panel, width = c.panel_width(panel);
  std::vector<float> gathered(static_cast<std::size_t>(c.transposed ? kInputsAtOnce * kTaps * width : 0));
  for (long start = 0; start < c.inputs; start += kInputsAtOnce) {
    const Range few{start, std::min(c.inputs, start + kInputsAtOnce)};
    if (c.transposed) gather_turned(c, weight, few, first, width, gathered.data());
    for (long input = few.begin; input < few.end; input++) {
      const float* taps[kTaps];
      for (long tap = 0; tap < kTaps; tap++) {
        taps[tap] = c.transposed ? gathered.data() + ((input - start) * kTaps + tap) * width
                                 : weight + (tap * c.inputs + input) * c.outputs + first;
      }
      if (!c.transposed && input + 2 < c.inputs) prefetch_taps(taps, 2 * c.outputs, width);
      float* row = out.data + input * c.panel;
      kernels().winograd_weight(taps, row, out.component, width);
      for (long k = 0; width < c.panel && k < kComponents; k++) {
        std::fill(row + k * out.component + width, row + k * out.component + c.panel, 0.0f);
      }
    }
  }
}

// Products of transformed tiles and one panel, made into results.
class TileProducts {
 public:
  // `products` has room for the products of `most_tiles` and one panel: size() floats.
  TileProducts(const Convolution& c, const float* bias, float* y, long most_tiles, float* products)
      : c_(c), bias_(bias), y_(y), component_(spread(most_tiles * c.panel)), products_(products) {}

  static long size(const Convolution& c, long most_tiles) { return kComponents * spread(most_tiles * c.panel); }

  // The products of some tiles, in multiples of the register tile's rows, from place `at` on.
  void multiply(const float* tiles, long tiles_component, long rows, long at, const PanelWeights& weights) {
    for (long k = 0; k < kComponents; k++) {
      kernels().multiply_rows({rows, c_.panel, c_.inputs, tiles + k * tiles_component, c_.stride,
                               weights.data + k * weights.component, c_.panel,
                               products_ + k * component_ + at * c_.panel, c_.panel});
    }
  }

  // The results of the tiles of a range, which begins at place 0.
  void finish(Range range, long panel) {
    const long first = panel * c_.panel;
    for (long index = range.begin; index < range.end; index++) {
      const Tile2 tile = tile_at(c_, index);
      float* pixels[4];
      for (long i = 0; i < 4; i++) {
        const long row = tile.row + i / 2, column = tile.column + i % 2;
        const bool inside = row < c_.height && column < c_.width;
        pixels[i] = inside ? y_ + ((tile.image * c_.height + row) * c_.width + column) * c_.outputs + first : nullptr;
      }
      kernels().winograd_output(products_ + (index - range.begin) * c_.panel, component_,
                                bias_ == nullptr ? nullptr : bias_ + first, pixels, c_.panel_width(panel));
    }
  }

 private:
  const Convolution& c_;
  const float* bias_;
  float* y_;
  long component_;
  float* products_;
};

// Large images: all weights first, then the tiles block by block.
void run_by_tiles(const Convolution& c, Context& context, const float* x, const float* weight, const float* bias,
                  float* y) {
  const long step = kernels().tile.rows;
  const long fitting = kBlockBytes / static_cast<long>(kComponents * c.stride * sizeof(float));
  const long block = std::min(round_up(c.tiles, step), std::max(2 * step, std::min(16 * step, fitting / step * step)));
  const long of_panel = PanelWeights::size(c);
  float* weights = context.temporary(c.panels * of_panel);
  const auto panel_weights = [&](long panel) {
    return PanelWeights{weights + panel * of_panel, of_panel / kComponents};
  };
  parallel_for(c.panels, [&](long panel, long) { transform_weights(c, weight, panel, panel_weights(panel)); });
  const long component = spread(block * c.stride), of_tiles = kComponents * component;
  const long of_products = TileProducts::size(c, block);
  float* scratch = context.temporary(thread_count() * (of_tiles + of_products));
  parallel_for((c.tiles + block - 1) / block, [&](long job, long worker) {
    const Range range{job * block, std::min(c.tiles, (job + 1) * block)};
    float* tiles = scratch + worker * (of_tiles + of_products);
    transform_tiles(c, x, range, tiles, component);
    TileProducts products(c, bias, y, block, tiles + of_tiles);
    for (long panel = 0; panel < c.panels; panel++) {
      products.multiply(tiles, component, round_up(range.end - range.begin, step), 0, panel_weights(panel));
      products.finish(range, panel);
    }
  });
}

// Small images: all tiles first, then the weights panel by panel.
void run_by_panels(const Convolution& c, Context& context, const float* x, const float* weight, const float* bias,
                   float* y) {
  const long step = kernels().tile.rows, room = round_up(c.tiles, step);
  const long component = spread(room * c.stride);
  float* tiles = context.temporary(kComponents * component);
  const long parts = parts_of(c.tiles, 8);
  parallel_for(parts, [&](long part, long) {
    const Range range = range_of(part, parts, c.tiles);
    transform_tiles(c, x, range, tiles + range.begin * c.stride, component);
  });
  const long of_weights = PanelWeights::size(c), of_products = TileProducts::size(c, room);
  float* scratch = context.temporary(thread_count() * (of_weights + of_products));
  parallel_for(c.panels, [&](long panel, long worker) {
    const PanelWeights weights{scratch + worker * (of_weights + of_products), of_weights / kComponents};
    transform_weights(c, weight, panel, weights);
    TileProducts products(c, bias, y, room, weights.data + of_weights);
    for (long at = 0; at < room; at += 8 * step) {
      products.multiply(tiles + at * c.stride, component, std::min(8 * step, room - at), at, weights);
    }
    products.finish({0, c.tiles}, panel);
  });
}

void run_convolution(const ConvolutionOptions& options, Context& context, bool with_bias) {
  const InputTensor x = context.input(0), weight = context.input(1);
  require(x.shape.size() == 4 && weight.shape.size() == 4 && weight.shape[0] == 3 && weight.shape[1] == 3 &&
              weight.shape[options.transposed ? 3 : 2] == x.shape[3],
          "convolution: x [B, H, W, I], weight [3, 3, I, O]", {&x.shape, &weight.shape});
  const Convolution c(x.shape, weight.shape, options.transposed);
  const float* bias = nullptr;
  if (with_bias) {
    const InputTensor given = context.input(2);
    require(given.size() == c.outputs, "convolution: bias [O]", {&given.shape, &weight.shape});
    bias = given.data;
  }
  float* y = context.output(0, {c.batch, c.height, c.width, c.outputs});
  if (c.tiles * c.inputs * c.outputs == 0) return;
  const bool large_image = c.tiles >= c.panels * c.panel;
  (large_image ? run_by_tiles : run_by_panels)(c, context, x.data, weight.data, bias, y);
}

void run_plain(const ConvolutionOptions& options, Context& context) { run_convolution(options, context, false); }
void run_biased(const ConvolutionOptions& options, Context& context) { run_convolution(options, context, true); }

}  // namespace

void define_convolution_operations() {
  const std::vector<const char*> attributes = {"transposed: bool"};
  define_operation<ConvolutionOptions, run_plain>({"RassConv3x3", {"x", "weight"}, {"y"}, attributes});
  define_operation<ConvolutionOptions, run_biased>({"RassConv3x3Bias", {"x", "weight", "bias"}, {"y"}, attributes});
}

}  // namespace rass
