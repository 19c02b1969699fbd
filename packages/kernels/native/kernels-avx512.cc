// The kernels for AVX-512 (Skylake-X, Zen 4 and later).
#include "kernel-table.h"

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,prefer-vector-width=512")
#endif

#define RASS_LANES 16
#define RASS_TILE_ROWS 12

namespace rass {
#include "kernels.inc"
namespace {
constexpr KernelTable kTable = table_named("avx512");
}
const KernelTable* avx512_kernels() { return &kTable; }
}  // namespace rass

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif  // __x86_64__
