#include "guest-kernel/linux/server/missed_calls.h"

#include <algorithm>
#include <array>
#include <limits>

#include "guest-kernel/lib/missed_calls.h"

namespace linux_server {
namespace {

// A program that tries more is looking for something else.
constexpr std::size_t kLimit = 64;
constexpr std::uint32_t kMost = std::numeric_limits<std::uint32_t>::max();

std::array<MissedCall, kLimit> missed;
std::size_t missed_count = 0;

}  // namespace

void count_missed_call(std::uint64_t number) {
  const auto stored = static_cast<std::uint32_t>(std::min<std::uint64_t>(number, kMost));
  std::size_t index = 0;
  while (index < missed_count && missed[index].number != stored) {
    ++index;
  }
  if (index < kLimit) {
    missed_count = std::max(missed_count, index + 1);
    missed[index].number = stored;
    missed[index].count += missed[index].count == kMost ? 0 : 1;
  }
}

std::span<const MissedCall> missed_calls() {
  return std::span(missed).first(missed_count);
}

void report_missed_calls(guest::Slot control) {
  std::span<const MissedCall> rest = missed_calls();
  while (!rest.empty()) {
    guest::Message message{{guest::kMissedCallsRequest}};
    const std::size_t count = std::min(rest.size(), message.word.size() - 1);
    for (std::size_t index = 0; index < count; ++index) {
      message[index + 1] = std::uint64_t{rest[index].number} << 32 | rest[index].count;
    }
    if (guest::call(control, message) != guest::Status::kOk) {
      return;
    }
    rest = rest.subspan(count);
  }
}

}  // namespace linux_server
