#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace linux_server {

// The process groups that were refused a process of late. They get none before they have left off
// asking for a while: else each process that gives up makes room for one more of those that have
// not, and a fork bomb never ends.
class RefusedGroups {
 public:
  static constexpr std::uint64_t kRestNs = 500'000'000;
  // More groups at a time forget the one that was refused first.
  static constexpr std::size_t kMost = 16;

  // Whether `process` asks too early, which makes its group wait anew. One that was refused last
  // and asks again once there are `few` in the group has made room itself.
  bool asks_too_early(std::uint32_t group, std::uint32_t process, bool few, std::uint64_t now) {
    Refused* const refused = find(group);
    if (refused == refused_.end() || now >= refused->until) {
      return false;
    }
    if (few && refused->process == process) {
      *refused = {};
      return false;
    }
    *refused = {group, process, now + kRestNs};
    return true;
  }

  void refuse(std::uint32_t group, std::uint32_t process, std::uint64_t now) {
    const auto earlier = [](const Refused& first, const Refused& second) {
      return first.until < second.until;
    };
    Refused* const known = find(group);
    Refused* const place = known != refused_.end()
                               ? known
                               : std::min_element(refused_.begin(), refused_.end(), earlier);
    *place = {group, process, now + kRestNs};
  }

 private:
  struct Refused {
    std::uint32_t group;    // 0: none
    std::uint32_t process;  // the last one
    std::uint64_t until;    // ns
  };

  Refused* find(std::uint32_t group) {
    return std::find_if(refused_.begin(), refused_.end(),
                        [group](const Refused& each) { return each.group == group; });
  }

  std::array<Refused, kMost> refused_ = {};
};

}  // namespace linux_server
