#pragma once

#include <cstdint>

#include "guest-kernel/abi/system_call.h"
#include "guest-kernel/nucleus/object.h"

namespace nucleus {

// One word: the object's address (bits 0–47; kernel addresses are sign-extended), its type (48–55)
// and the rights that the holder has (56–63). Beside it the badge, which a port's receiver sees.
struct Slot {
  std::uint64_t word = 0;
  std::uint64_t badge = 0;

  bool empty() const { return word == 0; }
  ObjectType type() const { return static_cast<ObjectType>((word >> 48) & 0xff); }
  std::uint64_t rights() const { return word >> 56; }
  Object* object() const {
    return reinterpret_cast<Object*>(static_cast<std::int64_t>(word << 16) >> 16);
  }
};
static_assert(sizeof(Slot) == 16);

inline std::uint64_t capability_word(const Object* object, std::uint64_t rights) {
  return (reinterpret_cast<std::uint64_t>(object) & 0xffff'ffff'ffff) |
         (static_cast<std::uint64_t>(object->type) << 48) | ((rights & abi::kAllRights) << 56);
}

}  // namespace nucleus
