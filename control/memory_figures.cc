#include "control/memory_figures.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "control/small_file.h"

namespace ensemble::control {
namespace {

// The first address of a mapping, from a line such as "7f00-8000 rw-s 00000000 00:01 5 /memfd:x";
// other lines have no hexadecimal number before a dash.
std::optional<std::uintptr_t> mapping_start(std::string_view line) {
  std::uintptr_t address = 0;
  const char* end = line.data() + line.size();
  const auto [rest, error] = std::from_chars(line.data(), end, address, 16);
  if (error != std::errc() || rest == end || *rest != '-') {
    return std::nullopt;
  }
  return address;
}

// The number in a line such as "Rss:      12 kB"; 0 in a line with another key.
std::uint64_t number_of(std::string_view key, std::string_view line) {
  if (!line.starts_with(key)) {
    return 0;
  }
  line.remove_prefix(std::min(line.find_first_not_of(' ', key.size()), line.size()));
  std::uint64_t number = 0;
  std::from_chars(line.data(), line.data() + line.size(), number);
  return number;
}

}  // namespace

ResidentMemory sum_resident_memory(const std::string& smaps,
                                   std::span<const AddressRange> excluded) {
  ResidentMemory sum;
  bool counted = false;
  for (std::string_view rest = smaps; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (const auto start = mapping_start(line)) {
      counted = std::ranges::none_of(excluded, [&](const AddressRange& range) {
        return *start >= range.begin && *start < range.end;
      });
    } else if (counted) {
      sum.total_kib += number_of("Rss:", line);
      sum.anonymous_kib += number_of("Anonymous:", line);
      sum.large_pages_kib += number_of("AnonHugePages:", line);
    }
  }
  return sum;
}

Result<ResidentMemory> resident_memory_outside(std::span<const AddressRange> excluded) {
  auto smaps = read_small_file("/proc/self/smaps");
  if (!smaps) {
    return std::unexpected(smaps.error());
  }
  return sum_resident_memory(*smaps, excluded);
}

Result<MemoryFigures> MemoryMeter::figures(bool machine_runs) {
  if (!machine_runs) {
    return read_();
  }
  const auto now = std::chrono::steady_clock::now();
  if (known_ && now - known_at_ <= age_) {
    return *known_;
  }
  lock_.unlock();
  auto figures = read_();
  lock_.lock();
  if (figures) {
    known_ = *figures;
    known_at_ = now;
  }
  return figures;
}

}  // namespace ensemble::control
