#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "control/sha256.h"
#include "vmm/error.h"

namespace ensemble::control {

// A path in a device, as a user writes it: DEVICE:PATH.
struct DevicePath {
  std::string device;
  std::string path;
};
Result<DevicePath> parse_device_path(const std::string& text);

// A path's last part, without slashes at its end.
std::string last_part(std::string_view path);

// What was copied, for programs.
struct CopiedFile {
  std::string device;
  std::string path;
  std::string file;
  std::uint64_t bytes = 0;
  std::uint64_t resumed_from = 0;
  Sha256Digest sha256{};
  double seconds = 0;
};

// Tells programs what was copied if they want to know, and people why no more was. Gives the exit
// code.
int finish_copying(const std::vector<CopiedFile>& files, bool json, const Result<void>& done);

// Tells that what has this path is not copied.
void leave_out(const std::string& path);

// How far a copy is, on standard error where that is a terminal.
class Progress {
 public:
  Progress(std::string_view name, std::uint64_t size, std::uint64_t done);
  ~Progress();
  void advance(std::size_t bytes);

 private:
  using Clock = std::chrono::steady_clock;
  void show();

  const bool is_shown_;
  const std::string name_;
  const std::uint64_t size_;
  const std::uint64_t first_;
  std::uint64_t done_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point next_ = start_;
};

}  // namespace ensemble::control
