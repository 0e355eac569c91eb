#pragma once

#include <cstdint>

namespace nucleus {

// One lock guards all kernel state: the kernel is entered rarely and mostly left within some
// hundred instructions (mapping many pages takes longer), so finer locks would cost each path more
// than they save. Interrupts are off in the kernel. A processor that waits for the lock serves the
// requests of the one that holds it (Processor::serve_requests), so that a holder may wait for the
// others. Defined in entry.S.
extern "C" std::uint32_t kernel_lock_word;

struct Processor;
void acquire_kernel_lock(Processor& processor);
inline void release_kernel_lock() {
  __atomic_store_n(&kernel_lock_word, 0, __ATOMIC_RELEASE);
}

}  // namespace nucleus
