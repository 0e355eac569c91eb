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
  // m2 = a number. Answered at once; a signal tells that the commit has ended, and a CommitRecord
  // how. Requests wait until then.
  kStartCommit,
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
// Every request: m0 = Request, m1 = time in nanoseconds since 1970, m6 = bytes of writes that were
// gathered and come first → m0 = an errno or 0, m6 = bytes that the disk certainly has room for,
// m7 = what the file of the last gathered write has on the disk, in bytes.

// A write that was gathered; its bytes follow, and padding to a multiple of 8. Where one fails, all
// later commits do.
struct GatheredWrite {
  std::uint32_t inode;
  std::uint32_t size;
  std::uint64_t offset;
  std::int64_t time;
};

// Of the last commit that has ended of those that kStartCommit started.
struct CommitRecord {
  std::uint64_t number;
  std::uint64_t result;  // an errno or 0
};

inline constexpr std::uint64_t kNamesSize = 4096;
inline constexpr std::uint64_t kDataSize = 128 * 1024;
inline constexpr std::uint64_t kGatheredSize = 32 * 1024;
// One after another; a CommitRecord is the last.
inline constexpr std::uint64_t kGatheredOffset = kNamesSize + kDataSize;
inline constexpr std::uint64_t kCommitRecordOffset = kGatheredOffset + kGatheredSize;
inline constexpr std::uint64_t kSharedSize = kCommitRecordOffset + sizeof(CommitRecord);

}  // namespace ext4
