#pragma once

#include <nettle/sha2.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/error.h"

namespace ensemble::control {

// A SHA-256 as its bytes come.
class Digest {
 public:
  Digest() { sha256_init(&context_); }
  void add(std::string_view bytes);
  // 32 bytes.
  std::string finish();

 private:
  sha256_ctx context_;
};

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
  // 32 bytes.
  std::string sha256;
  double seconds = 0;
};
std::string copied_as_json(const std::vector<CopiedFile>& files);

// How far a copy is, on standard error where that is a terminal.
class Progress {
 public:
  Progress(std::string name, std::uint64_t size, std::uint64_t done);
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
