#pragma once

#include "guest-kernel/linux/server/file.h"

namespace linux_server {

// The console as a terminal: tty(4), termios(3).
class ConsoleFile : public File {
 public:
  using File::File;

  std::int64_t read(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::int64_t write(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::int64_t write_bytes(Task& task, std::span<const std::byte> bytes) override;
  bool is_seekable() const override { return false; }
  std::int64_t control(Task& task, std::uint64_t request, std::uint64_t argument) override;
  std::uint32_t readiness() const override;
};

}  // namespace linux_server
