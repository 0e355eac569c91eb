#include "guest-kernel/linux/server/ipc/terminal_file.h"

#include <asm/fcntl.h>
#include <asm/termbits.h>

#include <algorithm>
#include <array>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/ipc/pseudo_terminal.h"
#include "guest-kernel/linux/server/process.h"
#include "guest-kernel/linux/server/server.h"

namespace linux_server {

// Without lines, VMIN and VTIME say how many bytes are waited for, and how long for each:
// task.progress counts those that have been seen.
std::int64_t TerminalFile::wait_for_input(Task& task, std::uint64_t size) {
  LineDiscipline& discipline = line_.discipline();
  const termios& settings = discipline.settings();
  const bool canonical = discipline.is_canonical();
  const std::uint64_t there = discipline.readable_bytes();
  const std::uint64_t minimum = canonical ? 1 : std::min<std::uint64_t>(settings.c_cc[VMIN], size);
  if (there >= std::max<std::uint64_t>(minimum, 1)) {
    return 0;
  }
  if (line_.is_hung_up()) {
    return 0;
  }
  if ((flags() & O_NONBLOCK) != 0) {
    return there != 0 ? 0 : -EAGAIN;
  }
  const std::uint64_t time = canonical ? 0 : settings.c_cc[VTIME];
  if (minimum == 0 && time == 0) {
    return 0;
  }
  const bool timed = time != 0 && (minimum == 0 || there != 0);
  if (timed && (!task.resumed || there > static_cast<std::uint64_t>(task.progress) ||
                task.deadline == Task::kNever)) {
    constexpr std::uint64_t kTenth = 100'000'000;
    task.deadline = guest::monotonic_ns() + time * kTenth;
  } else if (!timed) {
    task.deadline = Task::kNever;
  }
  task.progress = static_cast<std::int64_t>(there);
  if (timed && task.is_due()) {
    return 0;
  }
  return task.interrupted && there != 0 ? 0 : task.wait(line_.changed());
}

std::int64_t TerminalFile::read(Task& task, const UserBuffer& buffer, std::uint64_t /*offset*/) {
  if (buffer.size() == 0) {
    return 0;
  }
  if (!task.interrupted) {
    const std::int64_t refused = line_.check_foreground(task, kSignalTerminalInput);
    if (refused != 0) {
      return refused;
    }
  }
  if (const std::int64_t wait = wait_for_input(task, buffer.size()); wait != 0) {
    return wait;
  }
  // Looked at before anything is taken, so that a bad pointer loses no input.
  const std::span<std::byte> piece = buffer.piece(0, Access::kWrite);
  if (piece.empty()) {
    return -EFAULT;
  }
  const std::span<char> characters(reinterpret_cast<char*>(piece.data()), piece.size());
  const auto count = static_cast<std::int64_t>(line_.discipline().read(characters));
  line_.input_taken();
  return count;
}

std::int64_t TerminalFile::put(Task& task, std::span<const std::byte> bytes) {
  for (;;) {
    if (line_.is_hung_up()) {
      return -EIO;
    }
    const std::size_t count = line_.is_writable() ? line_.write(bytes) : 0;
    if (count != 0 || bytes.empty()) {
      return static_cast<std::int64_t>(count);
    }
    if ((flags() & O_NONBLOCK) != 0) {
      return -EAGAIN;
    }
    // Room that came since is no reason to wait: nobody would tell of it again.
    if (line_.wait_for_room()) {
      return task.wait(line_.changed());
    }
  }
}

std::int64_t TerminalFile::write(Task& task, const UserBuffer& buffer, std::uint64_t /*offset*/) {
  if ((line_.discipline().settings().c_lflag & TOSTOP) != 0 && !task.interrupted) {
    const std::int64_t refused = line_.check_foreground(task, kSignalTerminalOutput);
    if (refused != 0) {
      return refused;
    }
  }
  if (!task.resumed) {
    task.progress = 0;
  }
  while (static_cast<std::uint64_t>(task.progress) < buffer.size()) {
    const auto done = static_cast<std::uint64_t>(task.progress);
    const std::span<const std::byte> piece = buffer.piece(done, Access::kRead);
    const std::int64_t count = piece.empty() ? -EFAULT : put(task, piece);
    if (count == kBlocked && !(task.interrupted && done != 0)) {
      return kBlocked;
    }
    if (count < 0) {
      return done != 0 ? static_cast<std::int64_t>(done) : count;
    }
    task.progress += count;
  }
  return task.progress;
}

// Takes as much as there is room for: at least a byte, or the caller waits.
std::int64_t TerminalFile::write_bytes(Task& task, std::span<const std::byte> bytes) {
  return put(task, bytes);
}

std::uint32_t TerminalFile::readiness() const {
  if (line_.is_hung_up()) {
    return kReadable | kWritable | kError | kHangUp;
  }
  return (line_.discipline().is_readable() ? kReadable : 0u) |
         (line_.is_writable() || !line_.wait_for_room() ? kWritable : 0u);
}

std::int64_t TerminalFile::control(Task& task, std::uint64_t request, std::uint64_t argument) {
  return line_.is_hung_up() ? -EIO : control_terminal(task, line_, request, argument, true);
}

Result<Reference<File>> open_console(Node& node, std::uint32_t flags, const Process& opener) {
  TerminalLine& line = server().terminal();
  const Reference<File> file(new TerminalFile(node, flags & ~std::uint32_t{O_NOCTTY}, line));
  if (!file) {
    return fail(ENOMEM);
  }
  if ((flags & O_NOCTTY) == 0) {
    line.offer_to(opener);
  }
  return file;
}

Result<Reference<File>> open_controlling_terminal(Node& node, std::uint32_t flags,
                                                  const Process& opener) {
  flags &= ~std::uint32_t{O_NOCTTY};
  TerminalLine* const line = TerminalLine::of_session(opener.session);
  if (line == nullptr) {
    return fail(ENXIO);
  }
  const Reference<File> file(line == &server().terminal()
                                 ? new TerminalFile(node, flags, *line)
                                 : static_cast<PseudoTerminal*>(line)->make_file(node, flags));
  return file ? Result<Reference<File>>(file) : fail(ENOMEM);
}

}  // namespace linux_server
