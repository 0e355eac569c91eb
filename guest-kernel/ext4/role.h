#pragma once

#include <cstdint>

#include "guest-kernel/lib/start_info.h"

namespace ext4 {

// The Linux server's resource: deferred; the program's port, and the shared memory, mapped. The one
// after those that start_info.h names.
inline constexpr guest::Role kRole =
    static_cast<guest::Role>(static_cast<std::uint32_t>(guest::Role::kArguments) + 1);

// The bit that arrives at the server's port when a commit that was started has ended; beside
// guest::kConsoleSignal.
inline constexpr std::uint64_t kCommitSignal = 4;

}  // namespace ext4
