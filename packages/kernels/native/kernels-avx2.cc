// The kernels for AVX2 with FMA (Haswell, Zen and later).
#include "kernel-table.h"

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#define RASS_LANES 8
#define RASS_TILE_ROWS 6

namespace rass {
#include "kernels.inc"
namespace {
constexpr KernelTable kTable = table_named("avx2");
}
const KernelTable* avx2_kernels() { return &kTable; }
}  // namespace rass

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif  // __x86_64__
