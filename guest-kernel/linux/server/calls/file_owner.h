#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/file.h"
#include "guest-kernel/linux/server/process.h"

namespace linux_server {

// fcntl(2)'s F_SETOWN, F_SETSIG and their kin; kBlocked: it is another command.
std::int64_t control_file_owner(Task& task, File& file, std::uint32_t command,
                                std::uint64_t argument);
// The same as ioctl(2) has it: FIOSETOWN, FIOGETOWN.
std::int64_t set_file_owner(Task& task, File& file, std::int32_t owner);
std::int32_t file_owner(File& file);
// O_ASYNC is set or cleared through the descriptor. ENOMEM.
std::int64_t set_asynchronous(Task& task, File& file, std::uint64_t descriptor, bool on);

}  // namespace linux_server
