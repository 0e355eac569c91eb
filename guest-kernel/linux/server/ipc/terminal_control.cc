#include <asm/ioctls.h>
#include <asm/termbits.h>

#include <algorithm>

#include "guest-kernel/linux/server/ipc/process_groups.h"
#include "guest-kernel/linux/server/ipc/terminal_file.h"
#include "guest-kernel/linux/server/ipc/terminal_settings.h"

// ioctl_tty(2).
namespace linux_server {
namespace {

template <typename T>
std::int64_t give(Task& task, std::uint64_t address, const T& value) {
  return task.process->space().write_value(address, value) ? 0 : -EFAULT;
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
  constexpr std::uint64_t kChanges[] = {TCSETS,   TCSETSW, TCSETSF, TCSETS2,   TCSETSW2,
                                        TCSETSF2, TCSETA,  TCSETAW, TCSETAF,   TCSBRK,
                                        TCSBRKP,  TCXONC,  TCFLSH,  TIOCSPGRP, TIOCSLCKTRMIOS};
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
  if (const auto done = control_terminal_settings(task, line, request, argument)) {
    return *done;
  }
  switch (request) {
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
