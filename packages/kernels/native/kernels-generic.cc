// The kernels for whatever the compiler targets by default: SSE2 on x86-64, NEON on ARM. Also the choice between sets.
#include "kernel-table.h"

#define RASS_LANES 4
#define RASS_TILE_ROWS 6

namespace rass {
#include "kernels.inc"
namespace {
constexpr KernelTable kTable = table_named("generic");
}
const KernelTable* generic_kernels() { return &kTable; }
}  // namespace rass

#include <cstdlib>
#include <cstring>

namespace rass {
namespace {

const KernelTable* choose() {
#if defined(__x86_64__)
  const char* asked = std::getenv("RASS_NATIVE_SIMD");
  const auto allows = [asked](const char* name) { return asked == nullptr || std::strcmp(asked, name) == 0; };
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  if (avx512 && allows("avx512")) return avx512_kernels();
  if (avx2 && (allows("avx2") || allows("avx512"))) return avx2_kernels();
#endif
  return generic_kernels();
}

}  // namespace

const KernelTable& kernels() {
  static const KernelTable* chosen = choose();
  return *chosen;
}

}  // namespace rass
