#include "control/cli/copied_files.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "control/printable.h"

namespace ensemble::control {
namespace {

constexpr std::chrono::milliseconds kPause{100};
constexpr std::size_t kBarWidth = 24;
constexpr int kFailed = 125;

std::string amount(double bytes) {
  static constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  for (; bytes >= 1000 && unit + 1 < kUnits.size(); ++unit) {
    bytes /= 1024;
  }
  return fmt::format("{:.{}f} {}", bytes, unit == 0 ? 0 : 1, kUnits[unit]);
}

}  // namespace

Result<DevicePath> parse_device_path(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos || colon == 0 || text.substr(colon + 1, 1) != "/") {
    return fail("'{}' names no file in a device, expected DEVICE:PATH with an absolute path", text);
  }
  return DevicePath{.device = text.substr(0, colon), .path = text.substr(colon + 1)};
}

std::string last_part(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) {
    path.remove_suffix(1);
  }
  const std::size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

namespace {

std::string as_json(const std::vector<CopiedFile>& files) {
  auto list = nlohmann::ordered_json::array();
  for (const CopiedFile& each : files) {
    list.push_back({{"device", each.device},
                    {"path", each.path},
                    {"file", each.file},
                    {"bytes", each.bytes},
                    {"resumedFrom", each.resumed_from},
                    {"sha256", to_hexadecimal(each.sha256)},
                    {"seconds", each.seconds}});
  }
  return list.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace

int finish_copying(const std::vector<CopiedFile>& files, bool json, const Result<void>& done) {
  if (json) {
    fmt::print("{}", as_json(files));
  }
  if (!done) {
    fmt::print(stderr, "ensemble: {}\n", printable(done.error().message()));
  }
  return done && std::fflush(stdout) == 0 ? 0 : kFailed;
}

void leave_out(const std::string& path) {
  fmt::print(stderr, "ensemble: '{}' is no file that can be copied, and is left out\n",
             printable(path));
}

Progress::Progress(std::string_view name, std::uint64_t size, std::uint64_t done)
    : is_shown_(::isatty(STDERR_FILENO) == 1),
      name_(printable(name)),
      size_(size),
      first_(done),
      done_(done) {}

Progress::~Progress() {
  if (is_shown_) {
    show();
    fmt::print(stderr, "\n");
  }
}

void Progress::advance(std::size_t bytes) {
  done_ += bytes;
  if (is_shown_ && Clock::now() >= next_) {
    next_ = Clock::now() + kPause;
    show();
  }
}

void Progress::show() {
  const std::chrono::duration<double> time = Clock::now() - start_;
  const double part =
      size_ == 0 ? 1 : std::min(1.0, static_cast<double>(done_) / static_cast<double>(size_));
  const auto filled = static_cast<std::size_t>(part * kBarWidth);
  fmt::print(stderr, "\r{:<20.20} [{:<{}}] {:3.0f} %  {:>10}  {:>10}/s\x1b[K", name_,
             std::string(filled, '='), kBarWidth, part * 100, amount(static_cast<double>(done_)),
             amount(static_cast<double>(done_ - first_) / std::max(time.count(), 1e-3)));
  std::fflush(stderr);
}

}  // namespace ensemble::control
