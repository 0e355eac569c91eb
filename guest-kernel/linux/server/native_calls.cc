#include "guest-kernel/linux/server/native_calls.h"

#include <algorithm>
#include <span>

#include "guest-kernel/lib/native_program.h"
#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/server/process_table.h"

namespace linux_server {
namespace {

// Writes what is left of the program's output page to its descriptor; waits where that is full.
std::int64_t write_output(Task& task) {
  Process& process = *task.process;
  const auto [descriptor, size, unused0, unused1, unused2, unused3] = task.arguments;
  if ((descriptor != 1 && descriptor != 2) || size == 0 || size > guest::kNativeOutputSize) {
    return EINVAL;
  }
  const Reference<File> file = process.descriptors().find(descriptor);
  if (!file || !file->may_write()) {
    return EBADF;
  }
  const std::span<const std::byte> page(memory_pool().at(process.memory().output_offset), size);
  auto done = static_cast<std::uint64_t>(task.progress);
  while (done < size) {
    const std::int64_t count = file->write_bytes(task, page.subspan(done));
    if (count == kBlocked) {
      return kBlocked;
    }
    if (count <= 0) {
      return count == 0 ? EIO : -count;
    }
    done += static_cast<std::uint64_t>(count);
    task.progress = static_cast<std::int64_t>(done);
  }
  return 0;
}

}  // namespace

std::int64_t run_native_call(Task& task) {
  switch (static_cast<guest::NativeRequest>(task.number)) {
    case guest::NativeRequest::kWrite:
      return write_output(task);
    case guest::NativeRequest::kExit:
      condemn_process(*task.process, exited(task.arguments[0]));
      return kBlocked;
  }
  return ENOSYS;
}

}  // namespace linux_server
