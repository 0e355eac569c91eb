#include "control/console_log.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <utility>

namespace ensemble::control {
namespace {

constexpr std::size_t kLargestPiece = 65536;

Result<vmm::FileDescriptor> open_file(const std::string& path) {
  vmm::FileDescriptor file(
      ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) {
    return std::unexpected(Error::from_errno("cannot open '" + path + "'", errno));
  }
  return file;
}

std::uint64_t realtime_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace

Result<ConsoleLog> ConsoleLog::open(std::string path) {
  auto file = open_file(path);
  if (!file) {
    return std::unexpected(file.error());
  }
  struct stat status {};
  if (::fstat(file->get(), &status) != 0) {
    return std::unexpected(Error::from_errno("cannot read the size of '" + path + "'", errno));
  }
  return ConsoleLog(std::move(path), std::move(*file), static_cast<std::size_t>(status.st_size));
}

void ConsoleLog::write(std::span<const std::byte> data) {
  while (!data.empty()) {
    const std::size_t size = std::min(data.size(), kLargestPiece);
    write_piece(data.first(size));
    data = data.subspan(size);
  }
}

void ConsoleLog::write_piece(std::span<const std::byte> piece) {
  if (size_ >= kFileLimit) {
    turn_over();
  }
  if (size_ >= kFileLimit) {
    return;
  }
  const auto size = static_cast<std::uint32_t>(piece.size());
  ConsoleLogHeader header{.time_ns = realtime_ns(), .size = size, .check = ~size};
  const std::array<iovec, 2> parts = {iovec{&header, sizeof header},
                                      iovec{const_cast<std::byte*>(piece.data()), piece.size()}};
  const ssize_t written = ::writev(file_.get(), parts.data(), parts.size());
  const bool whole = written == static_cast<ssize_t>(sizeof header + piece.size());
  if (whole) {
    size_ += static_cast<std::size_t>(written);
  } else if (written > 0) {
    // Half a piece would hide those after it.
    (void)!::ftruncate(file_.get(), static_cast<off_t>(size_));
  }
  if (!whole && !failing_) {
    spdlog::error("cannot write to '{}', what the console prints is lost: {}", path_,
                  written < 0 ? std::strerror(errno) : "the disk is full");
  }
  failing_ = !whole;
}

void ConsoleLog::turn_over() {
  const std::string older = path_ + ".1";
  if (::rename(path_.c_str(), older.c_str()) != 0) {
    return;
  }
  if (auto file = open_file(path_)) {
    file_ = std::move(*file);
    size_ = 0;
  }
}

}  // namespace ensemble::control
