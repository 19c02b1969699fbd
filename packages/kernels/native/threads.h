// A few threads of our own: TensorFlow's stable C interface gives its kernels none.
#ifndef RASS_THREADS_H_
#define RASS_THREADS_H_

#include <cstddef>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>

namespace rass {

// The threads that an operation may use, the caller's included: TF_NUM_INTRAOP_THREADS, as TensorFlow's own
// operations, else the processors that this process may run on.
int thread_count();

// Calls body(part, worker) once for each part in [0, parts), on several threads, and returns when all are done. Workers
// count from 0 to thread_count() - 1; which takes which part is left open, and results may not depend on it.
using Body = std::function<void(long part, long worker)>;
void parallel_for(long parts, const Body& body);

// The number of parts to cut `count` items into, so that each is worth waking a thread for.
long parts_of(long count, long least_per_part);

// The items [begin, end) of a part.
struct Range {
  long begin;
  long end;
};
Range range_of(long part, long parts, long count);

struct Free {
  void operator()(float* p) const { std::free(p); }
};

// Floats on a cache line's boundary; their values are undefined.
using Buffer = std::unique_ptr<float[], Free>;
inline Buffer new_buffer(long count) {
  const std::size_t line = 64, bytes = static_cast<std::size_t>(count > 0 ? count : 1) * sizeof(float);
  void* p = std::aligned_alloc(line, (bytes + line - 1) / line * line);
  if (p == nullptr) throw std::bad_alloc();
  return Buffer(static_cast<float*>(p));
}

}  // namespace rass

#endif  // RASS_THREADS_H_
