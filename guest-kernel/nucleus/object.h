#pragma once

#include <cstdint>

namespace nucleus {

enum class ObjectType : std::uint8_t {
  kNone = 0,
  kDomain = 1,
  kThread = 2,
  kPort = 3,
  kRegion = 4,
  kTimer = 5,
  kInterrupt = 6,
  kInterruptControl = 7,
  kIoPorts = 8,
  kMachine = 9,
};

struct Domain;

// What capabilities name. All fields of all objects are guarded by the kernel lock. An object lives
// until its last reference goes: capabilities, and objects that point at it.
struct alignas(16) Object {
  ObjectType type = ObjectType::kNone;
  std::uint32_t references = 0;
  Domain* payer = nullptr;  // whose kernel-memory quota it was taken from; holds a reference
};

}  // namespace nucleus
