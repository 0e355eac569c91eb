#include "guest-kernel/linux/server/ipc/system_v.h"

#include <algorithm>

namespace linux_server {
namespace {

constexpr std::uint32_t kIndexBits = 15;
constexpr std::uint32_t kSequenceMask = 0xffff;
constexpr std::uint32_t kPermissions = 0777;

}  // namespace

bool IpcObject::is_allowed(const Credentials& credentials, std::uint32_t wanted) const {
  if (credentials.is_root()) {
    return true;
  }
  const bool owns = credentials.user == user || credentials.user == maker_user;
  const bool belongs = credentials.is_in(group) || credentials.is_in(maker_group);
  const unsigned shift = owns ? 6 : belongs ? 3 : 0;
  return (mode >> shift & wanted) == wanted;
}

ipc64_perm IpcObject::permissions() const {
  ipc64_perm result = {};
  result.key = static_cast<std::int32_t>(key);
  result.uid = user;
  result.gid = group;
  result.cuid = maker_user;
  result.cgid = maker_group;
  result.mode = mode;
  result.seq = static_cast<std::uint16_t>(id >> kIndexBits);
  return result;
}

void IpcObject::change_permissions(const ipc64_perm& wanted) {
  user = wanted.uid;
  group = wanted.gid;
  mode = (mode & ~kPermissions) | (wanted.mode & kPermissions);
}

void IpcObject::make_permissions(std::uint32_t with_key, std::uint64_t flags,
                                 const Credentials& credentials) {
  key = with_key;
  user = maker_user = credentials.user;
  group = maker_group = credentials.group;
  mode = static_cast<std::uint32_t>(flags) & kPermissions;
}

IpcObject* IpcTable::find(std::uint64_t id) const {
  IpcObject* const object = at(id & ((1u << kIndexBits) - 1));
  return object != nullptr && object->id == id ? object : nullptr;
}

IpcObject* IpcTable::find_key(std::uint32_t key) const {
  const auto slots = used();
  const auto found = std::find_if(slots.begin(), slots.end(), [key](const Slot& slot) {
    return slot.object != nullptr && slot.object->key == key;
  });
  return key == IPC_PRIVATE || found == slots.end() ? nullptr : found->object;
}

Result<void> IpcTable::add(IpcObject& object) {
  const auto place = std::find_if(slots_.begin(), slots_.end(),
                                  [](const Slot& slot) { return slot.object == nullptr; });
  const auto index = static_cast<std::uint32_t>(place - slots_.begin());
  if (index == slots_.size()) {
    return fail(ENOSPC);
  }
  used_ = std::max<std::size_t>(used_, index + 1);
  slots_[index].object = &object;
  object.id = slots_[index].sequence << kIndexBits | index;
  return {};
}

void IpcTable::remove(const IpcObject& object) {
  for (Slot& slot : used()) {
    if (slot.object == &object) {
      slot = {nullptr, (slot.sequence + 1) & kSequenceMask};
    }
  }
}

std::uint64_t IpcTable::highest() const {
  std::uint64_t index = used_;
  while (index > 0 && slots_[index - 1].object == nullptr) {
    --index;
  }
  return index == 0 ? 0 : index - 1;
}

std::uint64_t IpcTable::count() const {
  const auto slots = used();
  return static_cast<std::uint64_t>(std::count_if(
      slots.begin(), slots.end(), [](const Slot& slot) { return slot.object != nullptr; }));
}

Result<void> check_existing(const IpcObject& object, std::uint64_t flags,
                            const Credentials& credentials) {
  constexpr std::uint64_t kExclusive = IPC_CREAT | IPC_EXCL;
  if ((flags & kExclusive) == kExclusive) {
    return fail(EEXIST);
  }
  // What any class of the flags asks for counts.
  const std::uint64_t wanted = (flags >> 6 | flags >> 3 | flags) & 7;
  return object.is_allowed(credentials, static_cast<std::uint32_t>(wanted)) ? Result<void>{}
                                                                            : fail(EACCES);
}

}  // namespace linux_server
