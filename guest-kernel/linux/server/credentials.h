#pragma once

#include <array>
#include <cstdint>

#include "guest-kernel/linux/server/node.h"

namespace linux_server {

// Whose rights a process has where files are concerned.
struct Credentials {
  std::uint32_t user = 0;   // effective
  std::uint32_t group = 0;  // effective
  std::array<std::uint32_t, 32> groups = {};
  std::uint32_t group_count = 0;

  bool is_root() const { return user == 0; }
  bool is_in(std::uint32_t wanted) const;
};

// Bits of permission, as access(2) has them.
enum Permission : std::uint32_t { kMayExecute = 1, kMayWrite = 2, kMayRead = 4 };

// Whether all of `wanted` is allowed. Root may do all but execute a file that nobody may.
bool is_allowed(const Credentials& credentials, const StoredAttributes& attributes,
                std::uint32_t wanted);
// Whether an entry of a directory may be removed or renamed: a sticky directory leaves that to the
// owners.
bool is_removal_allowed(const Credentials& credentials, const StoredAttributes& directory,
                        const StoredAttributes& child);

}  // namespace linux_server
