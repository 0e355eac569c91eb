#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "vmm/error.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// Each piece of output in a console's log is preceded by this, little-endian.
struct ConsoleLogHeader {
  std::uint64_t time_ns;  // CLOCK_REALTIME.
  std::uint32_t size;     // Of the piece; 1 to 65536.
  std::uint32_t check;    // `size` with all its bits turned over, so that a cut-off log is noticed.
};
static_assert(sizeof(ConsoleLogHeader) == 16);

// What a device printed, kept in two files: PATH, and PATH.1 with what came before. A file that has
// reached kFileLimit takes the other's place, so that at least the last kFileLimit bytes are there.
// Used by one thread.
class ConsoleLog {
 public:
  static constexpr std::size_t kFileLimit = std::size_t{8} << 20;

  // Appends to what is there; the Error names the file.
  static Result<ConsoleLog> open(std::string path);

  // Adds output. A disk that takes no more loses it; the process's log says so once.
  void write(std::span<const std::byte> data);

 private:
  ConsoleLog(std::string path, vmm::FileDescriptor file, std::size_t size)
      : path_(std::move(path)), file_(std::move(file)), size_(size) {}

  void write_piece(std::span<const std::byte> piece);
  void turn_over();

  std::string path_;
  vmm::FileDescriptor file_;
  std::size_t size_;
  bool failing_ = false;
};

}  // namespace ensemble::control
