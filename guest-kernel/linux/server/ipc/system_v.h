#pragma once

#include <linux/ipc.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "guest-kernel/linux/server/credentials.h"
#include "guest-kernel/linux/server/result.h"

namespace linux_server {

// What shared memory, semaphores and message queues of System V have in common: sysvipc(7).
struct IpcObject {
  IpcObject() = default;
  IpcObject(const IpcObject&) = delete;
  IpcObject& operator=(const IpcObject&) = delete;
  virtual ~IpcObject() = default;

  // Whether all of `wanted` (Permission) is allowed; the owner's and the maker's rights are one.
  bool is_allowed(const Credentials& credentials, std::uint32_t wanted) const;
  // Whether it may be changed or removed.
  bool is_owned_by(const Credentials& credentials) const {
    return credentials.is_root() || credentials.user == user || credentials.user == maker_user;
  }
  ipc64_perm permissions() const;
  // IPC_SET.
  void change_permissions(const ipc64_perm& wanted);
  void make_permissions(std::uint32_t with_key, std::uint64_t flags,
                        const Credentials& credentials);

  std::uint32_t id = 0;
  std::uint32_t key = IPC_PRIVATE;
  std::uint32_t user = 0, group = 0;
  std::uint32_t maker_user = 0, maker_group = 0;
  std::uint32_t mode = 0;
};

// The objects of one kind, by id and by key. It does not own them.
class IpcTable {
 public:
  struct Slot {
    IpcObject* object = nullptr;
    std::uint32_t sequence = 0;
  };

  // `slots`: as many as there may be objects.
  constexpr explicit IpcTable(std::span<Slot> slots) : slots_(slots) {}

  // Null: there is none.
  IpcObject* find(std::uint64_t id) const;
  IpcObject* find_key(std::uint32_t key) const;
  // Gives it an id. ENOSPC.
  Result<void> add(IpcObject& object);
  void remove(const IpcObject& object);
  // The highest index in use, or 0; its objects by index: null where there is none.
  std::uint64_t highest() const;
  std::uint64_t count() const;
  IpcObject* at(std::uint64_t index) const {
    return index < used_ ? slots_[index].object : nullptr;
  }

 private:
  std::span<Slot> used() const { return slots_.first(used_); }

  std::span<Slot> slots_;
  std::size_t used_ = 0;  // all after these never had an object
};

// What shmget(2) and its kin do with an object that exists, before what is special about it.
Result<void> check_existing(const IpcObject& object, std::uint64_t flags,
                            const Credentials& credentials);

}  // namespace linux_server
