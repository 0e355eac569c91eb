#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "guest-kernel/linux/server/node.h"
#include "guest-kernel/linux/server/reference.h"

namespace linux_server {

// Linux's capability numbers, those that anything here asks for.
enum class Capability : std::uint32_t {
  kChangeOwner = 0,
  kOverrideAccess = 1,
  kReadAndSearch = 2,
  kActAsOwner = 3,
  kKeepSetId = 4,
  kKill = 5,
  kSetGroup = 6,
  kSetUser = 7,
  kSetCapabilities = 8,
  kChangeRoot = 18,
  kTrace = 19,
  kAdministrate = 21,
  kBoot = 22,
  kSchedule = 23,
  kResources = 24,
  kSetTime = 25,
  kTerminal = 26,
  kMakeNode = 27,
};

using CapabilitySet = std::uint64_t;
inline constexpr std::uint32_t kLastCapability = 40;
inline constexpr CapabilitySet kAllCapabilities = (std::uint64_t{1} << (kLastCapability + 1)) - 1;

constexpr CapabilitySet capability_bit(Capability capability) {
  return CapabilitySet{1} << static_cast<std::uint32_t>(capability);
}

// PR_SET_SECUREBITS; each has a bit to its left that locks it.
enum SecureBit : std::uint32_t {
  kNoRoot = 1,
  kNoSetIdFix = 4,
  kKeepCapabilities = 16,
  kNoAmbientRaise = 64,
  kKnownSecureBits = 255,
};

// Supplementary groups; those who have the same share one list.
class GroupList : public Counted {
 public:
  static constexpr std::uint32_t kMaximum = 65536;  // NGROUPS_MAX

  // A list of `count`, to be filled by its maker. Null: no memory.
  static Reference<GroupList> make_room(std::uint32_t count);
  ~GroupList() override;
  std::span<std::uint32_t> room() { return {groups_, count_}; }
  // In ascending order, as Linux keeps them.
  void sort();
  std::span<const std::uint32_t> groups() const { return {groups_, count_}; }

 private:
  std::uint32_t* groups_ = nullptr;
  std::uint32_t count_ = 0;
};

// credentials(7), capabilities(7).
struct Credentials {
  // Those that count where files are concerned; they follow the effective ones.
  std::uint32_t user = 0;
  std::uint32_t group = 0;

  std::uint32_t real_user = 0, effective_user = 0, saved_user = 0;
  std::uint32_t real_group = 0, effective_group = 0, saved_group = 0;
  Reference<GroupList> supplementary;

  CapabilitySet permitted = kAllCapabilities;
  CapabilitySet effective = kAllCapabilities;
  CapabilitySet inheritable = 0;
  CapabilitySet bounding = kAllCapabilities;
  CapabilitySet ambient = 0;
  std::uint32_t secure_bits = 0;
  bool no_new_privileges = false;

  bool is_root() const { return effective_user == 0; }
  bool has(Capability capability) const { return (effective & capability_bit(capability)) != 0; }
  // In the group as far as files are concerned.
  bool is_in(std::uint32_t wanted) const;
  std::span<const std::uint32_t> groups() const {
    return supplementary ? supplementary->groups() : std::span<const std::uint32_t>();
  }
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

// The calls of the same names; an id of −1 is left as it is, where the call knows that. They return
// 0 or a negative errno, setfsuid and setfsgid the id that there was.
std::int64_t set_user(Credentials& credentials, std::uint32_t user);
std::int64_t set_real_and_effective_user(Credentials& credentials, std::uint32_t real,
                                         std::uint32_t effective);
std::int64_t set_all_users(Credentials& credentials, std::uint32_t real, std::uint32_t effective,
                           std::uint32_t saved);
std::int64_t set_file_user(Credentials& credentials, std::uint32_t user);
std::int64_t set_group(Credentials& credentials, std::uint32_t group);
std::int64_t set_real_and_effective_group(Credentials& credentials, std::uint32_t real,
                                          std::uint32_t effective);
std::int64_t set_all_groups(Credentials& credentials, std::uint32_t real, std::uint32_t effective,
                            std::uint32_t saved);
std::int64_t set_file_group(Credentials& credentials, std::uint32_t group);

// capset(2).
struct CapabilityRequest {
  CapabilitySet effective = 0;
  CapabilitySet permitted = 0;
  CapabilitySet inheritable = 0;
};
std::int64_t set_capabilities(Credentials& credentials, const CapabilityRequest& wanted);

// What access(2) judges by: the real user.
Credentials as_real_user(const Credentials& credentials);
// Whose rights a program has that those of `credentials` execute, and whether it is to be told that
// it has more than they (AT_SECURE). `shares`: another process could lead it astray, for it shares
// its places (CLONE_FS): it then gains no rights.
struct ProgramCredentials {
  Credentials credentials;
  bool is_secure = false;
};
ProgramCredentials credentials_of_program(const Credentials& credentials,
                                          const StoredAttributes& program, bool shares);
// kill(2): whether one with `sender` may send signals to one with `receiver`.
bool may_signal(const Credentials& sender, const Credentials& receiver);

}  // namespace linux_server
