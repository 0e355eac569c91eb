#pragma once

#include <array>
#include <cstdint>

#include "guest-kernel/lib/system_call.h"

// The agreement between the Linux server and a native program: an ELF in the root file system with
// a note of ours, which runs in a domain without the shim and calls the nucleus itself.
//
// The server loads it as any static position-independent ELF64 (its PT_LOAD segments at one base),
// and starts a thread at its entry with rdi = address of a NativeStart, rsp = the top of a stack
// (rsp % 16 == 0) and no other state. The thread may be bare only if NativeNote::flags says so.
namespace guest {

// ELF note: owner "Ensemble" (namesz 9), type kNativeNoteType, desc = NativeNote. It is in a
// PT_NOTE.
inline constexpr char kNativeNoteOwner[] = "Ensemble";
inline constexpr std::uint32_t kNativeNoteType = 1;

struct NativeNote {
  std::uint32_t version;              // 1
  std::uint32_t flags;                // 0
  std::uint32_t memory_pages;         // of slot kNativeMemory
  std::uint32_t capability_slots;     // of its domain (a power of two)
  std::uint32_t kernel_memory_pages;  // its domain's quota
  std::uint32_t stack_pages;
};
// What the server grants at most; a note that asks for more is ENOEXEC.
inline constexpr NativeNote kNativeMaximum = {1, 0, 1024, 256, 256, 16};

// The program's slots. An absent capability is an empty slot.
enum NativeSlot : std::uint64_t {
  kNativeSelf = 1,         // its domain: all rights but kRightControl
  kNativeServer = 2,       // port: NativeRequest calls to the server
  kNativeInformation = 3,  // the server's Role::kInformation
  kNativeDeviceTable = 4,  // the server's Role::kDeviceTable
  kNativeManifest = 5,     // the server's Role::kManifest
  kNativeMachine = 6,      // the server's Role::kMachine
  kNativeMemory = 7,       // region of memory_pages zeroed pages, all rights, not mapped
  kNativeFirstFree = 16,
};

// One page, read-only to the program. Pointers are addresses in the program's space.
struct NativeStart {
  std::uint64_t version;   // 1
  std::uint64_t end_slot;  // slots [kNativeFirstFree, end_slot) are the program's
  std::uint64_t processor_count;
  std::uint64_t argument_count;
  std::uint64_t arguments;       // argument_count NUL-terminated strings, one after another
  std::uint64_t arguments_size;  // bytes
  std::uint64_t output;          // kNativeOutputSize bytes that the program and the server share
  std::uint64_t manifest_size;   // bytes; 0: none
  std::uint64_t device_table_size;
  std::uint64_t free_address;  // [free_address, free_address + 1 GiB) is unmapped and the program's
  std::uint64_t stack_top;
};
inline constexpr std::uint64_t kNativeOutputSize = 4096;

// Calls to kNativeServer: m0 = NativeRequest. The answer's m0 is 0 or a Linux errno.
enum class NativeRequest : std::uint64_t {
  kWrite = 1,  // m1 = descriptor (1 or 2), m2 = bytes in `output` (1 … kNativeOutputSize);
               // answered when all of it is written
  kExit = 2,   // m1 = exit code; ends the domain, does not return
};

}  // namespace guest
