#pragma once

#include <asm/errno.h>

#include <cstddef>
#include <cstdint>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/linux/shim/layout.h"

// What the shim's parts share. entry.S has the functions declared here as C.
namespace shim {

// Copies where one of the two is the application's. False: it is not mapped so.
extern "C" bool shim_copy(void* to, const void* from, std::size_t size);
// The vector registers to or from an area of the application's, aligned to 64 bytes. `size` as
// ProcessPage::vector_size. False: not mapped so, or nothing that the processor takes.
extern "C" bool shim_save_vectors(void* area, std::uint64_t size);
extern "C" bool shim_load_vectors(const void* area, std::uint64_t size);
extern "C" std::int64_t shim_forward(const Frame* frame, std::uint64_t task);

inline ProcessPage& process_page() {
  return *reinterpret_cast<ProcessPage*>(kProcessPage);
}

inline ThreadPage& thread_page() {
  std::uint64_t top = 0;
  asm("movq %%gs:0, %0" : "=r"(top));
  return *reinterpret_cast<ThreadPage*>(top - abi::kPageSize);
}

inline std::int64_t forward(const Frame& frame) {
  return shim_forward(&frame, thread_page().task);
}

template <typename T>
std::int64_t give(std::uint64_t address, const T& value) {
  return shim_copy(reinterpret_cast<void*>(address), &value, sizeof(value)) ? 0 : -EFAULT;
}

// The calls on signals that concern the thread alone.
std::int64_t change_signal_mask(const Frame& frame);
std::int64_t set_alternate_stack(const Frame& frame);
// Fills the whole frame from what a handler's frame holds.
std::int64_t return_from_signal(Frame& frame);
// A call that waits with another signal mask: sigsuspend(2) and its kin.
std::int64_t wait_with_mask(const Frame& frame);

inline constexpr std::uint64_t kNoCall = ~std::uint64_t{0};
// Lets `frame` go on in the handlers of what is pending and not blocked. `number`: of the call to
// be made again where the handler's action says so, or kNoCall. False: there was nothing.
bool deliver_signals(Frame& frame, std::uint64_t number);

}  // namespace shim
