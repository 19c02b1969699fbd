// SiLU, GELU, quick GELU and the gated GELU as TensorFlow operations.
#include "kernel-table.h"
#include "operation.h"
#include "threads.h"

namespace rass {
namespace {

// Below this many elements waking a thread costs more than it saves.
constexpr long kElementsPerPart = 1 << 14;

struct NoOptions {
  explicit NoOptions(const Attributes&) {}
};

template <Unary kind>
void run_unary(const NoOptions&, Context& context) {
  const InputTensor x = context.input(0);
  float* y = context.output(0, x.shape);
  const long count = x.size(), parts = parts_of(count, kElementsPerPart);
  parallel_for(parts, [&](long part, long) {
    const Range r = range_of(part, parts, count);
    kernels().unary(kind, x.data + r.begin, y + r.begin, r.end - r.begin);
  });
}

template <Unary kind>
void run_unary_grad(const NoOptions&, Context& context) {
  const InputTensor x = context.input(0), dy = context.input(1);
  require(x.shape == dy.shape, "dy has the shape of x", {&x.shape, &dy.shape});
  float* dx = context.output(0, x.shape);
  const long count = x.size(), parts = parts_of(count, kElementsPerPart);
  parallel_for(parts, [&](long part, long) {
    const Range r = range_of(part, parts, count);
    kernels().unary_grad(kind, x.data + r.begin, dy.data + r.begin, dx + r.begin, r.end - r.begin);
  });
}

void run_geglu(const NoOptions&, Context& context) {
  const InputTensor x = context.input(0);
  require(!x.shape.empty() && x.last() % 2 == 0, "geglu: the last axis is even", {&x.shape});
  Shape shape = x.shape;
  const long width = static_cast<long>(shape.back() /= 2);
  float* y = context.output(0, shape);
  const long rows = width == 0 ? 0 : size_of(shape) / width;
  const long parts = parts_of(rows, kElementsPerPart / (width + 1) + 1);
  parallel_for(parts, [&](long part, long) {
    const Range r = range_of(part, parts, rows);
    kernels().geglu(x.data + r.begin * 2 * width, y + r.begin * width, r.end - r.begin, width);
  });
}

void run_geglu_grad(const NoOptions&, Context& context) {
  const InputTensor x = context.input(0), dy = context.input(1);
  require(!x.shape.empty() && x.size() == 2 * dy.size() && x.last() == 2 * dy.last(), "geglu: dy is half of x",
          {&x.shape, &dy.shape});
  float* dx = context.output(0, x.shape);
  const long width = static_cast<long>(dy.last());
  const long rows = width == 0 ? 0 : dy.size() / width;
  const long parts = parts_of(rows, kElementsPerPart / (width + 1) + 1);
  parallel_for(parts, [&](long part, long) {
    const Range r = range_of(part, parts, rows);
    kernels().geglu_grad(x.data + r.begin * 2 * width, dy.data + r.begin * width, dx + r.begin * 2 * width,
                         r.end - r.begin, width);
  });
}

template <Unary kind>
void define_unary(const char* name, const char* grad_name) {
  define_operation<NoOptions, run_unary<kind>>({name, {"x"}, {"y"}, {}});
  define_operation<NoOptions, run_unary_grad<kind>>({grad_name, {"x", "dy"}, {"dx"}, {}});
}

}  // namespace

void define_elementwise_operations() {
  define_unary<Unary::kSilu>("RassSilu", "RassSiluGrad");
  define_unary<Unary::kGelu>("RassGelu", "RassGeluGrad");
  define_unary<Unary::kQuickGelu>("RassQuickGelu", "RassQuickGeluGrad");
  define_operation<NoOptions, run_geglu>({"RassGeglu", {"x"}, {"y"}, {}});
  define_operation<NoOptions, run_geglu_grad>({"RassGegluGrad", {"x", "dy"}, {"dx"}, {}});
}

}  // namespace rass
