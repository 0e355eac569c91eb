#include <asm/ioctls.h>
#include <asm/termbits.h>

#include <algorithm>

#include "guest-kernel/linux/server/ipc/process_groups.h"
#include "guest-kernel/linux/server/ipc/terminal_file.h"

// ioctl_tty(2).
namespace linux_server {
namespace {

template <typename T>
std::int64_t give(Task& task, std::uint64_t address, const T& value) {
  return task.process->space().write_value(address, value) ? 0 : -EFAULT;
}

std::int64_t take_settings(Task& task, TerminalLine& line, std::uint64_t address, bool flush) {
  const auto settings = task.process->space().read_value<termios>(address);
  if (!settings) {
    return -EFAULT;
  }
  line.discipline().set_settings(*settings, flush);
  line.input_taken();
  line.changed().wake();
  return 0;
}

// With the speeds as numbers, which are the same ones here.
std::int64_t give_settings_2(Task& task, TerminalLine& line, std::uint64_t address) {
  const termios& settings = line.discipline().settings();
  termios2 wide = {};
  wide.c_iflag = settings.c_iflag;
  wide.c_oflag = settings.c_oflag;
  wide.c_cflag = settings.c_cflag;
  wide.c_lflag = settings.c_lflag;
  wide.c_line = settings.c_line;
  std::copy(std::begin(settings.c_cc), std::end(settings.c_cc), std::begin(wide.c_cc));
  wide.c_ispeed = wide.c_ospeed = 115200;
  return give(task, address, wide);
}

std::int64_t take_settings_2(Task& task, TerminalLine& line, std::uint64_t address, bool flush) {
  const auto wide = task.process->space().read_value<termios2>(address);
  if (!wide) {
    return -EFAULT;
  }
  termios settings = {};
  settings.c_iflag = wide->c_iflag;
  settings.c_oflag = wide->c_oflag;
  settings.c_cflag = wide->c_cflag;
  settings.c_lflag = wide->c_lflag;
  settings.c_line = wide->c_line;
  std::copy(std::begin(wide->c_cc), std::end(wide->c_cc), std::begin(settings.c_cc));
  line.discipline().set_settings(settings, flush);
  line.input_taken();
  line.changed().wake();
  return 0;
}

std::int64_t flush(TerminalLine& line, std::uint64_t what) {
  if (what > TCIOFLUSH) {
    return -EINVAL;
  }
  if (what != TCOFLUSH) {
    line.discipline().set_settings(line.discipline().settings(), true);
    line.input_taken();
  }
  if (what != TCIFLUSH) {
    line.drop_output();
  }
  line.changed().wake();
  return 0;
}

std::int64_t control_flow(TerminalLine& line, std::uint64_t what) {
  if (what > TCION) {
    return -EINVAL;
  }
  if (what == TCOOFF || what == TCOON) {
    line.discipline().stop_output(what == TCOOFF);
    line.changed().wake();
  }
  return 0;
}

std::int64_t set_controlling(Task& task, TerminalLine& line, std::uint64_t steal) {
  const Process& process = *task.process;
  const std::uint32_t session = session_of(process);
  if (line.session() == session && process.id() == session) {
    return 0;
  }
  if (process.id() != session || TerminalLine::of_session(session) != nullptr ||
      (line.session() != 0 &&
       (steal != 1 || !process.credentials.has(Capability::kAdministrate)))) {
    return -EPERM;
  }
  line.take_session(session, group_of(process));
  return 0;
}

std::int64_t give_up(Task& task, TerminalLine& line) {
  const Process& process = *task.process;
  if (line.session() != session_of(process)) {
    return -ENOTTY;
  }
  if (process.id() == session_of(process)) {
    line.leave_session();
  }
  return 0;
}

std::int64_t set_foreground(Task& task, TerminalLine& line, std::uint64_t address) {
  const auto group = task.process->space().read_value<std::int32_t>(address);
  if (!group) {
    return -EFAULT;
  }
  if (line.session() == 0 || line.session() != session_of(*task.process)) {
    return -ENOTTY;
  }
  if (*group < 0) {
    return -EINVAL;
  }
  const auto number = static_cast<std::uint32_t>(*group);
  if (!group_exists(number, line.session())) {
    return group_exists(number) ? -EPERM : -ESRCH;
  }
  line.set_foreground(number);
  return 0;
}

// Whether a request changes what the foreground group sees.
bool is_change(std::uint64_t request) {
  constexpr std::uint64_t kChanges[] = {TCSETS, TCSETSW, TCSETSF, TCSETS2, TCSETSW2, TCSETSF2,
                                        TCSBRK, TCSBRKP, TCXONC,  TCFLSH,  TIOCSPGRP};
  return std::find(std::begin(kChanges), std::end(kChanges), request) != std::end(kChanges);
}

}  // namespace

std::int64_t control_terminal(Task& task, TerminalLine& line, std::uint64_t request,
                              std::uint64_t argument, bool inside) {
  if (inside && is_change(request)) {
    const std::int64_t refused = line.check_foreground(task, kSignalTerminalOutput);
    if (refused != 0) {
      return refused;
    }
  }
  const bool is_own =
      !inside || (line.session() != 0 && line.session() == session_of(*task.process));
  switch (request) {
    case TCGETS:
      // The kernel's struct termios: c_cc has 19 entries, as asm/termbits.h has it.
      return give(task, argument, line.discipline().settings());
    case TCSETS:
    case TCSETSW:
      return take_settings(task, line, argument, false);
    case TCSETSF:
      return take_settings(task, line, argument, true);
    case TCGETS2:
      return give_settings_2(task, line, argument);
    case TCSETS2:
    case TCSETSW2:
      return take_settings_2(task, line, argument, false);
    case TCSETSF2:
      return take_settings_2(task, line, argument, true);
    case TCFLSH:
      return flush(line, argument);
    case TCXONC:
      return control_flow(line, argument);
    case TCSBRK:
    case TCSBRKP:
      return 0;
    case TIOCGWINSZ:
      return give(task, argument, line.window());
    case TIOCSWINSZ: {
      const auto size = task.process->space().read_value<WindowSize>(argument);
      if (!size) {
        return -EFAULT;
      }
      line.set_window(*size);
      return 0;
    }
    case TIOCSCTTY:
      return set_controlling(task, line, argument);
    case TIOCNOTTY:
      return give_up(task, line);
    case TIOCGPGRP:
      return is_own ? give(task, argument, line.foreground()) : -ENOTTY;
    case TIOCGSID:
      return is_own && line.session() != 0 ? give(task, argument, line.session()) : -ENOTTY;
    case TIOCSPGRP:
      return set_foreground(task, line, argument);
    case FIONREAD:
      return give(task, argument, static_cast<std::uint32_t>(line.discipline().readable_bytes()));
    case TIOCOUTQ:
      return give(task, argument, std::uint32_t{0});
    case TIOCEXCL:
    case TIOCNXCL:
      return 0;
    default:
      return -ENOTTY;
  }
}

}  // namespace linux_server
