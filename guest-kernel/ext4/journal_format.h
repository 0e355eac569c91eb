#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

// The layout of a journal of format JBD2 (Linux's Documentation/filesystems/ext4/journal.rst). All
// numbers are big-endian.
namespace ext4 {

template <typename T>
class BigEndian {
 public:
  constexpr BigEndian() = default;
  constexpr BigEndian(T value) : raw_(std::byteswap(value)) {}
  constexpr operator T() const { return std::byteswap(raw_); }

 private:
  T raw_ = 0;
};
using Big16 = BigEndian<std::uint16_t>;
using Big32 = BigEndian<std::uint32_t>;
using Big64 = BigEndian<std::uint64_t>;

// A value that lies at `from`, aligned or not.
template <typename T>
T read_as(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

inline constexpr std::uint32_t kJournalMagic = 0xc03b3998;

enum JournalBlockType : std::uint32_t {
  kDescriptorBlock = 1,
  kCommitBlock = 2,
  kSuperblockVersion1 = 3,
  kSuperblockVersion2 = 4,
  kRevokeBlock = 5,
};

// Of `compatible_features`: each commit block has a CRC-32 of its transaction's descriptors and
// blocks. Not together with versions 2 and 3.
inline constexpr std::uint32_t kJournalChecksumV1 = 0x1;

// Of `incompatible_features`.
enum JournalFeature : std::uint32_t {
  kJournalRevoke = 0x1,
  kJournal64Bit = 0x2,
  kJournalAsyncCommit = 0x4,
  kJournalChecksumV2 = 0x8,
  kJournalChecksumV3 = 0x10,
};

// After the first tag of a descriptor.
inline constexpr std::size_t kUuidSize = 16;

enum TagFlag : std::uint32_t { kTagEscaped = 1, kTagSameUuid = 2, kTagDeleted = 4, kTagLast = 8 };

struct JournalHeader {
  Big32 magic;
  Big32 type;
  Big32 sequence;
};

struct JournalSuperblock {
  JournalHeader header;
  Big32 block_size;
  Big32 block_count;
  Big32 first;  // block of the log
  Big32 sequence;
  Big32 start;  // 0: nothing to replay
  Big32 error;
  Big32 compatible_features;
  Big32 incompatible_features;
  Big32 read_only_features;
  std::uint8_t uuid[16];
  Big32 users;
  Big32 dynamic_superblock;
  Big32 maximum_transaction;
  Big32 maximum_data;
  std::uint8_t checksum_type;
  std::uint8_t padding[3];
  Big32 fast_commit_blocks;
  Big32 head;
  std::uint8_t more_padding[160];
  Big32 checksum;
  std::uint8_t user_ids[768];
};
static_assert(sizeof(JournalSuperblock) == 1024);
inline constexpr std::uint8_t kChecksumCrc32 = 1;
inline constexpr std::uint8_t kChecksumCrc32c = 4;

// Without version 3, and with block numbers of 64 bits.
struct WideTag {
  Big32 block;
  Big16 checksum;
  Big16 flags;
  Big32 block_high;
};

struct TagV3 {
  Big32 block;
  Big32 flags;
  Big32 block_high;
  Big32 checksum;
};

struct CommitBlock {
  JournalHeader header;
  std::uint8_t checksum_type;
  std::uint8_t checksum_size;
  std::uint8_t padding[2];
  Big32 checksum[8];
  Big64 seconds;
  Big32 nanoseconds;
};

struct RevokeHeader {
  JournalHeader header;
  Big32 size;  // bytes used, this header included
};

}  // namespace ext4
