#pragma once

#include <cstddef>
#include <cstdint>

// What the agent in a device and the host say to each other on a stream of bytes (the port
// "org.ensemble.agent"). Both are little-endian x86-64.
//
// The stream is a sequence of frames: a header, then `size` bytes. Many conversations share it. The
// host begins one by kRun, kPush, kPushState, kPull, kList or kStat with a number that no open one
// has; it is over when the agent has sent kEnded, kFailed or kDone. Bytes of kData are sent only
// against credit, so that one reader that stops does not stop the others: each conversation begins
// with kFirstCredit each way (the host's of kPush with kPushCredit), and kCredit adds to it.
//
// A body is a sequence of fields, each as its type says: integers as they are, a text or bytes
// preceded by a 32-bit length. Fields that a newer side adds come last, and are passed over.
namespace ensemble::agent {

inline constexpr std::uint32_t kVersion = 1;
inline constexpr std::uint32_t kLargestBody = 256 * 1024;
inline constexpr std::uint32_t kFirstCredit = 1024 * 1024;
// Of a kPush, whose bytes the agent keeps at once, and how many it gathers to tell of them.
inline constexpr std::uint32_t kPushCredit = 8 * 1024 * 1024;
inline constexpr std::uint32_t kCreditStep = 2 * 1024 * 1024;
inline constexpr std::size_t kDigestSize = 32;

enum class FrameType : std::uint32_t {
  // Both ways, first: `detail` is the version.
  kHello = 1,

  // From the host. The first of a conversation:
  kRun = 2,   // u32 flags (RunFlag), u32 user, u32 group, u16 columns, u16 rows, text directory,
              // u32 count + texts: the command; u32 count + texts: NAME=VALUE
  kPush = 3,  // text path, u64 size, u64 offset, bytes sha256, u32 mode, u32 user, u32 group,
              // u32 flags (PushFlag), i64 modification time (ns since 1970), text target of a link
  kPushState = 4,  // text path, bytes sha256 → kDone with the size of what is there
  kPull = 5,       // text path, u64 offset → kEntry, kData…, kDone
  kList = 6,       // text path → kEntry…, kDone
  kStat = 7,       // text path → kEntry, kDone
  // What follows in it:
  kSignal = 8,   // `detail`: its number
  kResize = 9,   // `detail`: columns | rows << 16
  kCancel = 10,  // nobody waits for the rest
  kTerminate =
      11,  // conversation 0: the first program is to end, and the device with it; `detail`:
           // ms until it is killed (0: never)

  // Both ways.
  kData = 16,       // `detail`: Channel
  kEndOfData = 17,  // `detail`: Channel
  kCredit = 18,     // `detail`: bytes more

  // From the agent.
  kStarted = 32,  // `detail`: the process
  kEntry = 33,    // text name, u32 mode (as stat(2)'s), u64 size, u32 user, u32 group,
                  // i64 modification time, text target of a link; one or more in a frame
  kEnded = 34,    // `detail`: exit code, or kKilled | signal
  kFailed = 35,   // `detail`: errno, or 0; text: a sentence
  kDone = 36,     // u64 size, bytes sha256 (empty where nothing was read or written)
};

struct FrameHeader {
  std::uint32_t size;
  FrameType type;
  std::uint32_t conversation;
  std::uint32_t detail;
};
static_assert(sizeof(FrameHeader) == 16);

enum Channel : std::uint32_t {
  kStandardInput = 0,
  kStandardOutput = 1,
  kStandardError = 2,
  kContents = 3,
};

enum RunFlag : std::uint32_t {
  kOnTerminal = 1,  // with a pseudo-terminal of that size, instead of three pipes
  kAsUser = 2,      // `user` and `group` count
};

enum PushFlag : std::uint32_t {
  kMakeDirectories = 1,
  kSetTime = 2,
  // What is made is no file but one of these: no bytes follow, size and checksum are empty.
  kDirectory = 4,  // an existing one gets mode, owner and time
  kLink = 8,       // a symbolic link, in place of a link or a file
};

inline constexpr std::uint32_t kKilled = 0x100;

}  // namespace ensemble::agent
