#include "guest-kernel/linux/server/ipc/terminal_settings.h"

#include <asm/ioctls.h>
#include <asm/termbits.h>

#include <algorithm>
#include <array>

#include "guest-kernel/linux/server/process.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {
namespace {

// struct termio of asm/termios.h, which cannot be included beside asm/termbits.h: the flags' lower
// halves.
struct OldSettings {
  std::array<std::uint16_t, 4> flags;  // input, output, control, local
  std::uint8_t line;
  std::array<std::uint8_t, 8> characters;
};

template <typename T>
std::int64_t give(Task& task, std::uint64_t address, const T& value) {
  return task.process->space().write_value(address, value) ? 0 : -EFAULT;
}

// What termios and termios2 have in common.
template <typename To, typename From>
void copy_common(To& to, const From& from) {
  to.c_iflag = from.c_iflag;
  to.c_oflag = from.c_oflag;
  to.c_cflag = from.c_cflag;
  to.c_lflag = from.c_lflag;
  to.c_line = from.c_line;
  std::copy(std::begin(from.c_cc), std::end(from.c_cc), std::begin(to.c_cc));
}

// `value`, but for the bits of `locked`, which stay as they are in `old`.
template <typename T>
void keep_locked(T& value, T old, T locked) {
  value = static_cast<T>((value & ~locked) | (old & locked));
}

void change(TerminalLine& line, termios settings, bool flush) {
  const termios& old = line.discipline().settings();
  const termios& locked = line.locked_settings();
  keep_locked(settings.c_iflag, old.c_iflag, locked.c_iflag);
  keep_locked(settings.c_oflag, old.c_oflag, locked.c_oflag);
  keep_locked(settings.c_cflag, old.c_cflag, locked.c_cflag);
  keep_locked(settings.c_lflag, old.c_lflag, locked.c_lflag);
  settings.c_line = locked.c_line != 0 ? old.c_line : settings.c_line;
  for (unsigned i = 0; i < NCCS; ++i) {
    settings.c_cc[i] = locked.c_cc[i] != 0 ? old.c_cc[i] : settings.c_cc[i];
  }
  line.discipline().set_settings(settings, flush);
  line.input_taken();
  line.changed().wake();
}

std::int64_t take(Task& task, TerminalLine& line, std::uint64_t address, bool flush) {
  // The kernel's struct termios: c_cc has 19 entries, as asm/termbits.h has it.
  const auto settings = task.process->space().read_value<termios>(address);
  if (!settings) {
    return -EFAULT;
  }
  change(line, *settings, flush);
  return 0;
}

// With the speeds as numbers, which are the same ones here.
std::int64_t give_wide(Task& task, TerminalLine& line, std::uint64_t address) {
  termios2 wide = {};
  copy_common(wide, line.discipline().settings());
  wide.c_ispeed = wide.c_ospeed = 115200;
  return give(task, address, wide);
}

std::int64_t take_wide(Task& task, TerminalLine& line, std::uint64_t address, bool flush) {
  const auto wide = task.process->space().read_value<termios2>(address);
  if (!wide) {
    return -EFAULT;
  }
  termios settings = {};
  copy_common(settings, *wide);
  change(line, settings, flush);
  return 0;
}

std::int64_t give_old(Task& task, TerminalLine& line, std::uint64_t address) {
  const termios& settings = line.discipline().settings();
  OldSettings old = {};
  old.flags = {
      static_cast<std::uint16_t>(settings.c_iflag), static_cast<std::uint16_t>(settings.c_oflag),
      static_cast<std::uint16_t>(settings.c_cflag), static_cast<std::uint16_t>(settings.c_lflag)};
  old.line = settings.c_line;
  std::copy_n(std::begin(settings.c_cc), old.characters.size(), old.characters.begin());
  return give(task, address, old);
}

std::int64_t take_old(Task& task, TerminalLine& line, std::uint64_t address, bool flush) {
  const auto old = task.process->space().read_value<OldSettings>(address);
  if (!old) {
    return -EFAULT;
  }
  constexpr tcflag_t kUpper = 0xffff'0000;
  termios settings = line.discipline().settings();
  settings.c_iflag = (settings.c_iflag & kUpper) | old->flags[0];
  settings.c_oflag = (settings.c_oflag & kUpper) | old->flags[1];
  settings.c_cflag = (settings.c_cflag & kUpper) | old->flags[2];
  settings.c_lflag = (settings.c_lflag & kUpper) | old->flags[3];
  settings.c_line = old->line;
  std::copy_n(old->characters.begin(), old->characters.size(), std::begin(settings.c_cc));
  change(line, settings, flush);
  return 0;
}

std::int64_t lock(Task& task, TerminalLine& line, std::uint64_t address) {
  if (!task.process->credentials.has(Capability::kAdministrate)) {
    return -EPERM;
  }
  const auto locked = task.process->space().read_value<termios>(address);
  if (!locked) {
    return -EFAULT;
  }
  line.lock_settings(*locked);
  return 0;
}

}  // namespace

std::optional<std::int64_t> control_terminal_settings(Task& task, TerminalLine& line,
                                                      std::uint64_t request,
                                                      std::uint64_t address) {
  switch (request) {
    case TCGETS:
      return give(task, address, line.discipline().settings());
    case TCSETS:
    case TCSETSW:
      return take(task, line, address, false);
    case TCSETSF:
      return take(task, line, address, true);
    case TCGETS2:
      return give_wide(task, line, address);
    case TCSETS2:
    case TCSETSW2:
      return take_wide(task, line, address, false);
    case TCSETSF2:
      return take_wide(task, line, address, true);
    case TCGETA:
      return give_old(task, line, address);
    case TCSETA:
    case TCSETAW:
      return take_old(task, line, address, false);
    case TCSETAF:
      return take_old(task, line, address, true);
    case TIOCGLCKTRMIOS:
      return give(task, address, line.locked_settings());
    case TIOCSLCKTRMIOS:
      return lock(task, line, address);
    default:
      return std::nullopt;
  }
}

}  // namespace linux_server
