#pragma once

#include <cstddef>
#include <cstdint>

#include "guest-kernel/ext4/records.h"

// What the Linux server and the program that keeps an ext4 file system say to each other. Calls to
// the latter's port; names, records and data pass through memory that both share.
namespace ext4 {

enum class Request : std::uint64_t {
  // `data`: 16 random bytes → m1 = 1 if read-only, m2 = bytes of a report in `data`.
  kMount = 0,
  // m2 = inode → record in `data`.
  kGet,
  // m2 = directory, m3 = position → m1 = bytes of DirectoryRecords in `data`, 0: no more; m2 = next
  // position.
  kList,
  // m2 = inode, m3 = offset, m4 = size → `data`.
  kRead,
  // m2 = inode → m1 = bytes of `data`.
  kReadLink,
  // → StatisticsRecord in `data`.
  kStatistics,
  // m2 = inode, m3 = offset, m4 = size; `data` → m1 = bytes that were written.
  kWrite,
  // m2 = inode, m3 = size.
  kTruncate,
  // m2 = inode, m3 = offset, m4 = size, m5 = 1: the size stays.
  kAllocate,
  // m2 = inode, m3 = offset, m4 = size.
  kPunch,
  // As kAllocate.
  kZero,
  // m2 = inode, m3 = offset, m4 = 1: a hole is looked for → m1 = offset.
  kSeek,
  // m2 = inode; InodeRecord in `data`: mode's permissions, user, group, times.
  kSetAttributes,
  // m2 = directory, m3 = size of the name, m4 = size of a link's target; name, InodeRecord and, in
  // `data` after the record, target → m1 = inode.
  kCreate,
  // m2 = directory, m3 = size of the name, m4 = inode.
  kLink,
  kRemove,
  // m2, m3 = sizes of the two names, one after the other; RenameRecord in `data`.
  kRename,
  // m2 = inode.
  kRelease,
  kCommit,
  // Answered at once; a signal tells that the commit has ended. Requests wait until then.
  kStartCommit,
  // → how that ended.
  kCommitResult,
  kUnmount,
  // m2 = inode, m3 = size of the name → m1 = bytes of the value in `data`.
  kGetAttribute,
  // m2 = inode → m1 = bytes of names in `data`, a zero after each.
  kListAttributes,
  // m2 = inode, m3 = size of the name, m4 = size of the value; name, `data`.
  kSetAttribute,
  // m2 = inode, m3 = size of the name.
  kRemoveAttribute,
};
// Every request: m0 = Request, m1 = time in nanoseconds since 1970 → m0 = an errno or 0.

inline constexpr std::uint64_t kNamesSize = 4096;
inline constexpr std::uint64_t kDataSize = 128 * 1024;
inline constexpr std::uint64_t kSharedSize = kNamesSize + kDataSize;

}  // namespace ext4
