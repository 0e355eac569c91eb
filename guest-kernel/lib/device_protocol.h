#pragma once

#include <cstdint>

#include "guest-kernel/lib/byte_ring.h"

// What drivers, their clients and the composer say to one another.
namespace guest {

// Console: memory shared by the driver and its one client. The client writes to `output` and reads
// from `input`. After writing it signals the driver's port if `output.consumer_waits()`; after
// reading, if `input.producer_waits()`. The driver signals the client by the same rule.
struct ConsoleShared {
  ByteRingHeader output;
  ByteRingHeader input;
};
inline constexpr std::uint64_t kConsoleOutputOffset = 4096;
inline constexpr std::uint64_t kConsoleOutputSize = 16384;  // power of two
inline constexpr std::uint64_t kConsoleInputOffset = kConsoleOutputOffset + kConsoleOutputSize;
inline constexpr std::uint64_t kConsoleInputSize = 4096;
inline constexpr std::uint64_t kConsoleSharedSize = kConsoleInputOffset + kConsoleInputSize;

// Block: calls to the driver's port; data passes through the shared memory, which starts at sector
// granularity. The caller blocks until the device has done it; several threads may call at once,
// each with its own part of the shared memory.
//   m0 = BlockRequest, m1 = first sector, m2 = number of sectors, m3 = offset in the shared memory
//   → m0 = DeviceStatus, m1 = bytes
enum class BlockRequest : std::uint64_t {
  kRead = 0,
  kWrite = 1,
  kFlush = 2,
  kDiscard = 3,
  kGetId = 4,     // 20 bytes, NUL-padded, into the shared memory at m3
  kGeometry = 5,  // → m1 = capacity in sectors, m2 = 1 if read-only, m3 = bytes of shared memory
  kWriteAndFlush = 6,  // flushes when the write is done: one call for both
};
inline constexpr std::uint64_t kSectorSize = 512;
inline constexpr std::uint64_t kBlockSharedSize = 128 * 1024;

// Entropy: m0 = bytes wanted (1 … 56) → m0 = DeviceStatus, m1 … m7 the bytes.
inline constexpr std::uint64_t kEntropyMaximum = 56;

enum class DeviceStatus : std::uint64_t {
  kOk = 0,
  kBadRequest = 1,   // out of range or unknown
  kDeviceError = 2,  // the device says so
  kUnsupported = 3,
  kReadOnly = 4,
  kBusy = 5,  // too many requests at once
};

// Calls of the Linux server to the composer's control port: m0 = ControlRequest.
enum class ControlRequest : std::uint64_t {
  // The command is about to run its first instruction: m1 = TSC. Optional; kCommandEnded has it
  // too.
  kCommandStarted = 1,
  // The command ended: m1 = exit code (0 … 255), m2 = TSC when it started, m3 = TSC when it ended.
  // The console's output is drained, then the machine is powered off. Does not return.
  kCommandEnded = 2,
  // Resets the machine. Does not return.
  kReset = 3,
  // Starts the drivers that the command did not need so far, and gives the server its deferred
  // resources (start_info.h) → m0 = Status. Once is enough; again does nothing.
  kCompleteStart = 4,
  // Starts the driver of a chip, and gives the server its port and shared memory: m1 = the slot
  // that
  // the chip's resource names → m0 = Status. Again does nothing.
  kStartDriver = 5,
};

// Calls to the composer's information port: m0 = InformationRequest.
enum class InformationRequest : std::uint64_t {
  // Brings the device table up to date → m0 = 0.
  kRefresh = 1,
};

}  // namespace guest
