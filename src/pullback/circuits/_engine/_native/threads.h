// Loops that are shared by the threads of XLA.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <new>
#include <thread>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

// The threads of XLA, and the one that calls.
class Crew {
 public:
  explicit Crew(ffi::ThreadPool pool) : pool_(pool), threads_(pool.num_threads()) {}

  // f(k) for k < count. Threads that come too late find nothing left to do, and nobody waits for them.
  template <class F>
  void share(int64_t count, F f) {
    int64_t others = std::min(threads_, count) - 1;
    if (others < 1) {
      for (int64_t k = 0; k < count; k++) f(k);
      return;
    }
    struct Job {
      F* f;
      int64_t count;
      std::atomic<int64_t> next{0}, done{0};
    };
    auto job = std::make_shared<Job>();
    job->f = &f, job->count = count;
    auto work = [job] {
      for (int64_t k; (k = job->next.fetch_add(1)) < job->count; job->done.fetch_add(1)) (*job->f)(k);
    };
    for (int64_t k = 0; k < others; k++) pool_.Schedule(decltype(work)(work));
    work();
    while (job->done.load() < count) std::this_thread::yield();  // others are at their last parts: short
  }

 private:
  ffi::ThreadPool pool_;
  int64_t threads_;
};

}  // namespace
