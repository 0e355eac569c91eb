#include "guest-kernel/linux/server/credentials.h"

#include <algorithm>

namespace linux_server {

bool Credentials::is_in(std::uint32_t wanted) const {
  const auto end = groups.begin() + group_count;
  return group == wanted || std::find(groups.begin(), end, wanted) != end;
}

bool is_allowed(const Credentials& credentials, const StoredAttributes& attributes,
                std::uint32_t wanted) {
  if (credentials.is_root()) {
    return (wanted & kMayExecute) == 0 || (attributes.mode & kTypeMask) == kDirectory ||
           (attributes.mode & 0111) != 0;
  }
  const unsigned shift = credentials.user == attributes.user   ? 6
                         : credentials.is_in(attributes.group) ? 3
                                                               : 0;
  return (attributes.mode >> shift & wanted) == wanted;
}

bool is_removal_allowed(const Credentials& credentials, const StoredAttributes& directory,
                        const StoredAttributes& child) {
  return (directory.mode & kSticky) == 0 || credentials.is_root() ||
         credentials.user == child.user || credentials.user == directory.user;
}

}  // namespace linux_server
