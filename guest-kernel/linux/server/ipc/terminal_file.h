#pragma once

#include <cstdint>
#include <utility>

#include "guest-kernel/linux/server/file.h"
#include "guest-kernel/linux/server/terminal_line.h"

namespace linux_server {

// A program's end of a terminal: tty(4), termios(3).
class TerminalFile : public File {
 public:
  // `line` outlives this unless `owner` holds it.
  TerminalFile(Node& node, std::uint32_t flags, TerminalLine& line, Reference<Counted> owner = {})
      : File(node, flags), owner_(std::move(owner)), line_(line) {}

  TerminalLine& line() { return line_; }

  std::int64_t read(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::int64_t write(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::int64_t write_bytes(Task& task, std::span<const std::byte> bytes) override;
  bool is_seekable() const override { return false; }
  std::int64_t control(Task& task, std::uint64_t request, std::uint64_t argument) override;
  std::uint32_t readiness() const override;
  WaitQueue* changes() override { return &line_.changed(); }
  FileKind kind() const override { return FileKind::kTerminal; }

 private:
  // 0: read now. Else what the call returns.
  std::int64_t wait_for_input(Task& task, std::uint64_t size);
  std::int64_t put(Task& task, std::span<const std::byte> bytes);

  Reference<Counted> owner_;
  TerminalLine& line_;
};

// ioctl(2)'s requests that both ends of a terminal know. `inside`: a program's end, which job
// control keeps from a group in the background.
std::int64_t control_terminal(Task& task, TerminalLine& line, std::uint64_t request,
                              std::uint64_t argument, bool inside);

// What opening the nodes of /dev does. The first process group to open a terminal without O_NOCTTY
// may get it as its session's controlling terminal.
Result<Reference<File>> open_console(Node& node, std::uint32_t flags, const Process& opener);
// /dev/tty. ENXIO: there is none.
Result<Reference<File>> open_controlling_terminal(Node& node, std::uint32_t flags,
                                                  const Process& opener);

}  // namespace linux_server
