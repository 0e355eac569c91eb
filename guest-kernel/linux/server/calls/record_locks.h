#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/file.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {

// fcntl's F_GETLK and F_SETLK(W), with a struct flock at `address`; `of_file`: the F_OFD_ kinds.
std::int64_t query_record_lock(Task& task, File& file, bool of_file, std::uint64_t address);
std::int64_t set_record_lock(Task& task, File& file, bool of_file, bool waits,
                             std::uint64_t address);

}  // namespace linux_server
