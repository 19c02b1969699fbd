#include "threads.h"

#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

namespace rass {
namespace {

int processors() {
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) return CPU_COUNT(&allowed);
#endif
  return static_cast<int>(std::thread::hardware_concurrency());
}

int count_threads() {
  const char* named = std::getenv("TF_NUM_INTRAOP_THREADS");
  const int asked = named == nullptr ? 0 : std::atoi(named);
  return std::max(1, asked > 0 ? asked : processors());
}

// What is being run: its parts are taken one after the other by whoever is free.
class Region {
 public:
  Region(const Body& body, long parts) : body_(body), parts_(parts) {}

  void work(long worker) {
    try {
      for (long part = next_++; part < parts_; part = next_++) body_(part, worker);
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
    }
  }

  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  const Body& body_;
  const long parts_;
  std::atomic<long> next_{0};
  std::mutex mutex_;
  std::exception_ptr failure_;
};

// The helping threads. They live until the process ends, asleep between regions.
class Pool {
 public:
  explicit Pool(int helpers) {
    for (int i = 0; i < helpers; i++) std::thread([this, i] { serve(i + 1); }).detach();
  }

  // False where another region is running: its caller has the helpers.
  bool run(Region& region) {
    std::unique_lock<std::mutex> only(one_region_, std::try_to_lock);
    if (!only.owns_lock()) return false;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      region_ = &region;
      number_++;
    }
    wake_.notify_all();
    region.work(0);
    std::unique_lock<std::mutex> lock(mutex_);
    // A helper that wakes from now on finds nothing; those at work are waited for.
    region_ = nullptr;
    done_.wait(lock, [this] { return busy_ == 0; });
    return true;
  }

 private:
  void serve(long worker) {
    long seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      wake_.wait(lock, [&] { return region_ != nullptr && number_ != seen; });
      Region* region = region_;
      seen = number_;
      busy_++;
      lock.unlock();
      region->work(worker);
      lock.lock();
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::mutex one_region_, mutex_;
  std::condition_variable wake_, done_;
  Region* region_ = nullptr;
  long number_ = 0;
  int busy_ = 0;
};

}  // namespace

int thread_count() {
  static const int count = count_threads();
  return count;
}

void parallel_for(long parts, const Body& body) {
  Region region(body, parts);
  // Never destroyed: the helpers may still wait on it while the process ends.
  static Pool* pool = new Pool(thread_count() - 1);
  if (parts < 2 || thread_count() < 2 || !pool->run(region)) region.work(0);
  region.rethrow();
}

long parts_of(long count, long least_per_part) {
  // A few parts per thread even out what other programs take of the processors.
  const long most = 4L * thread_count();
  return std::max(1L, std::min(most, count / std::max(1L, least_per_part)));
}

Range range_of(long part, long parts, long count) { return {count * part / parts, count * (part + 1) / parts}; }

}  // namespace rass
