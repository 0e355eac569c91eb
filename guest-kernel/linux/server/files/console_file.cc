#include "guest-kernel/linux/server/files/console_file.h"

#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <asm/termbits.h>

#include <algorithm>
#include <array>

#include "guest-kernel/linux/server/server.h"

namespace linux_server {
namespace {

struct WindowSize {
  std::uint16_t rows;
  std::uint16_t columns;
  std::uint16_t width;
  std::uint16_t height;
};
// A serial line has no size; this is what programs assume then.
constexpr WindowSize kWindowSize = {24, 80, 0, 0};

// The kernel's struct termios: c_cc has 19 entries, as asm/termbits.h has it.
std::int64_t give_settings(Task& task, std::uint64_t address) {
  return task.process->space().write_value(address, server().terminal().discipline().settings())
             ? 0
             : -EFAULT;
}

std::int64_t take_settings(Task& task, std::uint64_t address, bool flush) {
  const auto settings = task.process->space().read_value<termios>(address);
  if (!settings) {
    return -EFAULT;
  }
  server().terminal().discipline().set_settings(*settings, flush);
  return 0;
}

template <typename T>
std::int64_t give(Task& task, std::uint64_t address, T value) {
  return task.process->space().write_value(address, value) ? 0 : -EFAULT;
}

}  // namespace

std::int64_t ConsoleFile::read(Task& task, const UserBuffer& buffer, std::uint64_t /*offset*/) {
  LineDiscipline& discipline = server().terminal().discipline();
  if (buffer.size() == 0) {
    return 0;
  }
  if (!discipline.is_readable()) {
    return (flags() & O_NONBLOCK) != 0 ? -EAGAIN : task.wait(server().terminal().changed());
  }
  // Looked at before anything is taken, so that a bad pointer loses no input.
  const std::span<std::byte> piece = buffer.piece(0, Access::kWrite);
  if (piece.empty()) {
    return -EFAULT;
  }
  const std::span<char> characters(reinterpret_cast<char*>(piece.data()), piece.size());
  return static_cast<std::int64_t>(discipline.read(characters));
}

std::int64_t ConsoleFile::write(Task& task, const UserBuffer& buffer, std::uint64_t /*offset*/) {
  std::uint64_t done = 0;
  while (done < buffer.size()) {
    const std::span<const std::byte> piece = buffer.piece(done, Access::kRead);
    const std::int64_t count = piece.empty() ? -EFAULT : write_bytes(task, piece);
    if (count < 0) {
      return done != 0 ? static_cast<std::int64_t>(done) : count;
    }
    done += static_cast<std::uint64_t>(count);
  }
  return static_cast<std::int64_t>(done);
}

// Takes as much as there is room for: at least a byte, or the caller waits.
std::int64_t ConsoleFile::write_bytes(Task& task, std::span<const std::byte> bytes) {
  Terminal& terminal = server().terminal();
  for (;;) {
    const std::size_t count = terminal.is_writable() ? terminal.write(bytes) : 0;
    if (count != 0 || bytes.empty()) {
      return static_cast<std::int64_t>(count);
    }
    if ((flags() & O_NONBLOCK) != 0) {
      return -EAGAIN;
    }
    // Room that came since is no reason to wait: nobody would tell of it again.
    if (terminal.wait_for_room()) {
      return task.wait(terminal.changed());
    }
  }
}

std::uint32_t ConsoleFile::readiness() const {
  Terminal& terminal = server().terminal();
  return (terminal.discipline().is_readable() ? kReadable : 0u) |
         (terminal.is_writable() || !terminal.wait_for_room() ? kWritable : 0u);
}

std::int64_t ConsoleFile::control(Task& task, std::uint64_t request, std::uint64_t argument) {
  LineDiscipline& discipline = server().terminal().discipline();
  switch (request) {
    case TCGETS:
      return give_settings(task, argument);
    case TCSETS:
    case TCSETSW:
      return take_settings(task, argument, false);
    case TCSETSF:
      return take_settings(task, argument, true);
    case TCFLSH:
      if (argument != 1) {  // not for output only
        discipline.set_settings(discipline.settings(), true);
      }
      return 0;
    case TCSBRK:
    case TCXONC:
    case TIOCSCTTY:
    case TIOCNOTTY:
    case TIOCSWINSZ:
      return 0;
    case TIOCGWINSZ:
      return give(task, argument, kWindowSize);
    case TIOCGPGRP:
    case TIOCGSID:
      return give(task, argument, task.process->id());
    case TIOCSPGRP: {
      const auto group = task.process->space().read_value<std::uint32_t>(argument);
      return !group ? -EFAULT : *group == task.process->id() ? 0 : -EPERM;
    }
    case FIONREAD:
      return give(task, argument, static_cast<std::uint32_t>(discipline.readable_bytes()));
    default:
      return -ENOTTY;
  }
}

}  // namespace linux_server
