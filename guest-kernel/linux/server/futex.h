#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/address_space.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {

inline constexpr std::uint32_t kAllFutexBits = ~std::uint32_t{0};

// Wakes up to `count` tasks that wait for the word at `address` of `space`, with a bit of `bits` in
// common. Returns how many, or a negative errno.
std::int64_t wake_futex(AddressSpace& space, std::uint64_t address, std::uint64_t count,
                        std::uint32_t bits);
// What the word at `address` is known by, and what it holds. EINVAL, EFAULT.
Result<FutexPlace> find_futex(AddressSpace& space, std::uint64_t address, std::uint32_t& value);
// What a thread's end does to the futexes that it has told of: set_tid_address(2),
// set_robust_list(2).
void leave_futexes(Task& task);

std::int64_t call_futex(Task& task);

}  // namespace linux_server
