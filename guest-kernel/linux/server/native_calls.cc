#include "guest-kernel/linux/server/native_calls.h"

#include <algorithm>
#include <span>

#include "guest-kernel/lib/native_program.h"
#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/server/server.h"

namespace linux_server {
namespace {

// Writes what is left of the program's output page; waits where the console is full.
bool write_output(Task& task, guest::Message& answer) {
  const std::uint64_t size = task.arguments[1];
  std::uint64_t& done = task.arguments[2];
  const std::span<const std::byte> page(memory_pool().at(task.process->output_offset), size);
  Terminal& terminal = server().terminal();
  while (done < size) {
    const std::size_t count = terminal.is_writable() ? terminal.write(page.subspan(done)) : 0;
    if (count == 0 && terminal.wait_for_room()) {
      task.wait(terminal.changed());
      task.blocked = true;
      return false;
    }
    done += count;
  }
  answer[0] = 0;
  return true;
}

}  // namespace

bool handle_native_call(Task& task, const guest::Received& received, guest::Message& answer) {
  task.token = received.token;
  task.deadline = Task::kNever;
  switch (static_cast<guest::NativeRequest>(received.message[0])) {
    case guest::NativeRequest::kWrite:
      task.arguments = {received.message[1], received.message[2], 0};
      if ((task.arguments[0] != 1 && task.arguments[0] != 2) || task.arguments[1] == 0 ||
          task.arguments[1] > guest::kNativeOutputSize) {
        answer[0] = EINVAL;
        return true;
      }
      return write_output(task, answer);
    case guest::NativeRequest::kExit:
      server().end_process(*task.process, static_cast<int>(received.message[1] & 0xff));
      return false;
  }
  answer[0] = ENOSYS;
  return true;
}

bool run_native_call(Task& task, guest::Message& answer) {
  return write_output(task, answer);
}

}  // namespace linux_server
