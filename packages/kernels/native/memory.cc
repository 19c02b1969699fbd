// How the process gets its memory, settled when the addon is loaded.
#include <cstdlib>
#include <initializer_list>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace rass {
namespace {

// glibc raises its threshold for mapping a block by itself up to 32 MiB, and then keeps what is freed below it, in
// holes between what lives on: a model's weights and the arrays that they come from would leave hundreds of megabytes
// there. TensorFlow's tensors are not affected, for it keeps a pool of them.
constexpr int kMapFrom = 256 * 1024;
constexpr int kKeepAtMost = 16 * 1024 * 1024;

bool settle() {
#if defined(__GLIBC__)
  // Not where the user has settled it: one of these settings also fixes the others.
  for (const char* name : {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"}) {
    if (std::getenv(name) != nullptr) return false;
  }
  return mallopt(M_MMAP_THRESHOLD, kMapFrom) == 1 && mallopt(M_TRIM_THRESHOLD, kKeepAtMost) == 1;
#else
  return false;
#endif
}

[[maybe_unused]] const bool settled = settle();

}  // namespace
}  // namespace rass
