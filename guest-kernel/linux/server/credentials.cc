#include "guest-kernel/linux/server/credentials.h"

#include <asm/errno.h>

#include <algorithm>

namespace linux_server {
namespace {

constexpr std::uint32_t kUnchanged = ~std::uint32_t{0};
// Those that only matter for files, and come and go with the file system user.
constexpr CapabilitySet kFileCapabilities =
    capability_bit(Capability::kChangeOwner) | capability_bit(Capability::kOverrideAccess) |
    capability_bit(Capability::kReadAndSearch) | capability_bit(Capability::kActAsOwner) |
    capability_bit(Capability::kKeepSetId) | capability_bit(Capability::kMakeNode) |
    CapabilitySet{1} << 9 | CapabilitySet{1} << 32;  // CAP_LINUX_IMMUTABLE, CAP_MAC_OVERRIDE

// What becoming another user does to the capabilities.
void fix_capabilities(Credentials& now, const Credentials& before) {
  if ((now.secure_bits & kNoSetIdFix) != 0) {
    return;
  }
  const bool was_root =
      before.real_user == 0 || before.effective_user == 0 || before.saved_user == 0;
  const bool is_root = now.real_user == 0 || now.effective_user == 0 || now.saved_user == 0;
  if (was_root && !is_root) {
    if ((now.secure_bits & kKeepCapabilities) == 0) {
      now.permitted = now.effective = 0;
    }
    now.ambient = 0;
  }
  if (before.effective_user == 0 && now.effective_user != 0) {
    now.effective = 0;
  } else if (before.effective_user != 0 && now.effective_user == 0) {
    now.effective = now.permitted;
  }
}

bool is_one_of(std::uint32_t id, std::uint32_t first, std::uint32_t second) {
  return id == kUnchanged || id == first || id == second;
}

}  // namespace

Reference<GroupList> GroupList::make_room(std::uint32_t count) {
  auto* list = new GroupList();
  Reference<GroupList> share(list);
  if (list == nullptr) {
    return share;
  }
  list->groups_ =
      static_cast<std::uint32_t*>(operator new (std::size_t{count} * sizeof(std::uint32_t)));
  if (list->groups_ == nullptr) {
    return {};
  }
  list->count_ = count;
  return share;
}

void GroupList::sort() {
  std::sort(groups_, groups_ + count_);
}

GroupList::~GroupList() {
  operator delete (static_cast<void*>(groups_), std::size_t{count_} * sizeof(std::uint32_t));
}

bool Credentials::is_in(std::uint32_t wanted) const {
  const auto others = groups();
  return group == wanted || std::find(others.begin(), others.end(), wanted) != others.end();
}

bool is_allowed(const Credentials& credentials, const StoredAttributes& attributes,
                std::uint32_t wanted) {
  const unsigned shift = credentials.user == attributes.user   ? 6
                         : credentials.is_in(attributes.group) ? 3
                                                               : 0;
  if ((attributes.mode >> shift & wanted) == wanted) {
    return true;
  }
  const bool is_directory = (attributes.mode & kTypeMask) == kDirectory;
  if (credentials.has(Capability::kOverrideAccess)) {
    return (wanted & kMayExecute) == 0 || is_directory || (attributes.mode & 0111) != 0;
  }
  return credentials.has(Capability::kReadAndSearch) &&
         (is_directory ? (wanted & kMayWrite) == 0 : wanted == kMayRead);
}

bool is_removal_allowed(const Credentials& credentials, const StoredAttributes& directory,
                        const StoredAttributes& child) {
  return (directory.mode & kSticky) == 0 || credentials.user == child.user ||
         credentials.user == directory.user || credentials.has(Capability::kActAsOwner);
}

std::int64_t set_user(Credentials& credentials, std::uint32_t user) {
  const Credentials before = credentials;
  if (user == kUnchanged) {
    return -EINVAL;
  }
  if (before.has(Capability::kSetUser)) {
    credentials.real_user = credentials.saved_user = user;
  } else if (!is_one_of(user, before.real_user, before.saved_user)) {
    return -EPERM;
  }
  credentials.effective_user = credentials.user = user;
  fix_capabilities(credentials, before);
  return 0;
}

std::int64_t set_real_and_effective_user(Credentials& credentials, std::uint32_t real,
                                         std::uint32_t effective) {
  const Credentials before = credentials;
  if (!before.has(Capability::kSetUser) &&
      (!is_one_of(real, before.real_user, before.effective_user) ||
       (!is_one_of(effective, before.real_user, before.effective_user) &&
        effective != before.saved_user))) {
    return -EPERM;
  }
  credentials.real_user = real != kUnchanged ? real : before.real_user;
  credentials.effective_user = effective != kUnchanged ? effective : before.effective_user;
  if (real != kUnchanged || (effective != kUnchanged && effective != before.real_user)) {
    credentials.saved_user = credentials.effective_user;
  }
  credentials.user = credentials.effective_user;
  fix_capabilities(credentials, before);
  return 0;
}

std::int64_t set_all_users(Credentials& credentials, std::uint32_t real, std::uint32_t effective,
                           std::uint32_t saved) {
  const Credentials before = credentials;
  for (const std::uint32_t wanted : {real, effective, saved}) {
    if (!before.has(Capability::kSetUser) && wanted != before.saved_user &&
        !is_one_of(wanted, before.real_user, before.effective_user)) {
      return -EPERM;
    }
  }
  credentials.real_user = real != kUnchanged ? real : before.real_user;
  credentials.effective_user = effective != kUnchanged ? effective : before.effective_user;
  credentials.saved_user = saved != kUnchanged ? saved : before.saved_user;
  credentials.user = credentials.effective_user;
  fix_capabilities(credentials, before);
  return 0;
}

std::int64_t set_file_user(Credentials& credentials, std::uint32_t user) {
  const std::uint32_t old = credentials.user;
  const bool known = user == credentials.real_user || user == credentials.effective_user ||
                     user == credentials.saved_user || user == old;
  if (user == kUnchanged || (!known && !credentials.has(Capability::kSetUser))) {
    return old;
  }
  credentials.user = user;
  if ((credentials.secure_bits & kNoSetIdFix) == 0) {
    if (old == 0 && user != 0) {
      credentials.effective &= ~kFileCapabilities;
    } else if (old != 0 && user == 0) {
      credentials.effective |= credentials.permitted & kFileCapabilities;
    }
  }
  return old;
}

std::int64_t set_group(Credentials& credentials, std::uint32_t group) {
  if (group == kUnchanged) {
    return -EINVAL;
  }
  if (credentials.has(Capability::kSetGroup)) {
    credentials.real_group = credentials.saved_group = group;
  } else if (!is_one_of(group, credentials.real_group, credentials.saved_group)) {
    return -EPERM;
  }
  credentials.effective_group = credentials.group = group;
  return 0;
}

std::int64_t set_real_and_effective_group(Credentials& credentials, std::uint32_t real,
                                          std::uint32_t effective) {
  const std::uint32_t old_real = credentials.real_group;
  if (!credentials.has(Capability::kSetGroup) &&
      (!is_one_of(real, old_real, credentials.effective_group) ||
       (!is_one_of(effective, old_real, credentials.effective_group) &&
        effective != credentials.saved_group))) {
    return -EPERM;
  }
  credentials.real_group = real != kUnchanged ? real : old_real;
  credentials.effective_group = effective != kUnchanged ? effective : credentials.effective_group;
  if (real != kUnchanged || (effective != kUnchanged && effective != old_real)) {
    credentials.saved_group = credentials.effective_group;
  }
  credentials.group = credentials.effective_group;
  return 0;
}

std::int64_t set_all_groups(Credentials& credentials, std::uint32_t real, std::uint32_t effective,
                            std::uint32_t saved) {
  for (const std::uint32_t wanted : {real, effective, saved}) {
    if (!credentials.has(Capability::kSetGroup) && wanted != credentials.saved_group &&
        !is_one_of(wanted, credentials.real_group, credentials.effective_group)) {
      return -EPERM;
    }
  }
  credentials.real_group = real != kUnchanged ? real : credentials.real_group;
  credentials.effective_group = effective != kUnchanged ? effective : credentials.effective_group;
  credentials.saved_group = saved != kUnchanged ? saved : credentials.saved_group;
  credentials.group = credentials.effective_group;
  return 0;
}

std::int64_t set_file_group(Credentials& credentials, std::uint32_t group) {
  const std::uint32_t old = credentials.group;
  const bool known = group == credentials.real_group || group == credentials.effective_group ||
                     group == credentials.saved_group;
  if (group != kUnchanged && (known || credentials.has(Capability::kSetGroup))) {
    credentials.group = group;
  }
  return old;
}

std::int64_t set_capabilities(Credentials& credentials, const CapabilityRequest& wanted) {
  const CapabilitySet inheritable = wanted.inheritable & kAllCapabilities;
  const CapabilitySet permitted = wanted.permitted & kAllCapabilities;
  const CapabilitySet effective = wanted.effective & kAllCapabilities;
  const CapabilitySet old = credentials.inheritable;
  if ((!credentials.has(Capability::kSetCapabilities) &&
       (inheritable & ~(old | credentials.permitted)) != 0) ||
      (inheritable & ~(old | credentials.bounding)) != 0 ||
      (permitted & ~credentials.permitted) != 0 || (effective & ~permitted) != 0) {
    return -EPERM;
  }
  credentials.effective = effective;
  credentials.permitted = permitted;
  credentials.inheritable = inheritable;
  credentials.ambient &= permitted & inheritable;
  return 0;
}

Credentials as_real_user(const Credentials& credentials) {
  Credentials real = credentials;
  real.user = credentials.real_user;
  real.group = credentials.real_group;
  if ((credentials.secure_bits & kNoSetIdFix) == 0) {
    real.effective = credentials.real_user == 0 ? credentials.permitted : 0;
  }
  return real;
}

ProgramCredentials credentials_of_program(const Credentials& credentials,
                                          const StoredAttributes& program, bool shares) {
  ProgramCredentials result;
  Credentials& now = result.credentials;
  now = credentials;
  if (!credentials.no_new_privileges) {
    if ((program.mode & kSetUserId) != 0) {
      now.effective_user = program.user;
    }
    if ((program.mode & (kSetGroupId | 0010)) == (kSetGroupId | 0010)) {
      now.effective_group = program.group;
    }
  }
  if (shares && !credentials.has(Capability::kSetUser)) {
    now.effective_user = credentials.real_user;
    now.effective_group = credentials.real_group;
  }
  now.user = now.saved_user = now.effective_user;
  now.group = now.saved_group = now.effective_group;
  const bool has_set_id =
      now.effective_user != credentials.real_user || now.effective_group != credentials.real_group;
  const bool by_root = (credentials.secure_bits & kNoRoot) == 0;
  const bool is_root = by_root && now.effective_user == 0;
  now.ambient = has_set_id ? 0 : now.ambient;
  now.permitted = is_root || (by_root && now.real_user == 0)
                      ? credentials.bounding | credentials.inheritable
                      : 0;
  now.permitted |= now.ambient;
  now.permitted &= shares ? credentials.permitted : kAllCapabilities;
  now.effective = is_root ? now.permitted : now.ambient;
  now.secure_bits &= ~std::uint32_t{kKeepCapabilities};
  result.is_secure = has_set_id || (now.real_user != 0 && is_root);
  return result;
}

bool may_signal(const Credentials& sender, const Credentials& receiver) {
  return sender.effective_user == receiver.saved_user ||
         sender.effective_user == receiver.real_user || sender.real_user == receiver.saved_user ||
         sender.real_user == receiver.real_user || sender.has(Capability::kKill);
}

}  // namespace linux_server
