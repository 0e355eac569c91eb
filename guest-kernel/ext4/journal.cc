#include "guest-kernel/ext4/journal.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "guest-kernel/ext4/checksum.h"

namespace ext4 {
namespace {

constexpr std::uint32_t kReplayedFeatures =
    kJournalRevoke | kJournal64Bit | kJournalAsyncCommit | kJournalChecksumV3;
constexpr std::uint32_t kMostBlocks = 1u << 20;
constexpr std::size_t kTailSize = 4;  // a checksum at a block's end

bool is_header(const std::byte* block, std::uint32_t type, std::uint32_t sequence) {
  const auto header = read_as<JournalHeader>(block);
  return header.magic == kJournalMagic && header.type == type && header.sequence == sequence;
}

// The checksum of `size` bytes with the four at `hole` taken as zero.
std::uint32_t checksum_without(std::uint32_t seed, const std::byte* bytes, std::size_t size,
                               std::size_t hole) {
  constexpr std::byte kZero[4] = {};
  std::uint32_t sum = crc32c(seed, bytes, hole);
  sum = crc32c(sum, kZero, sizeof(kZero));
  return crc32c(sum, bytes + hole + 4, size - hole - 4);
}

std::uint32_t superblock_checksum(const JournalSuperblock& superblock) {
  return checksum_without(~0u, reinterpret_cast<const std::byte*>(&superblock), sizeof(superblock),
                          offsetof(JournalSuperblock, checksum));
}

}  // namespace

Journal::Journal(BlockCache& cache, std::span<const JournalExtent> extents,
                 std::span<std::byte> scratch, std::span<Revoke> revokes)
    : cache_(cache),
      extents_(extents),
      block_(scratch.data()),
      copy_(scratch.data() + cache.block_size()),
      block_size_(cache.block_size()),
      revokes_(revokes) {}

bool Journal::has_checksums() const {
  return (superblock_.incompatible_features & kJournalChecksumV3) != 0;
}

bool Journal::has_transaction_checksums() const {
  return (superblock_.compatible_features & kJournalChecksumV1) != 0;
}

// ~0: outside of the journal.
std::uint64_t Journal::disk_offset(std::uint32_t log_block) const {
  for (const JournalExtent& extent : extents_) {
    if (log_block < extent.count) {
      return (extent.first + log_block) * block_size_;
    }
    log_block -= extent.count;
  }
  return ~std::uint64_t{0};
}

int Journal::read_log(std::uint32_t log_block, std::byte* to) {
  const std::uint64_t offset = disk_offset(log_block);
  return offset == ~std::uint64_t{0} ? EIO : cache_.disk().read(offset, to, block_size_);
}

int Journal::write_log(std::uint32_t log_block, const std::byte* from) {
  const std::uint64_t offset = disk_offset(log_block);
  return offset == ~std::uint64_t{0} ? EIO : cache_.disk().write(offset, from, block_size_);
}

std::uint32_t Journal::next(std::uint32_t log_block) const {
  return log_block + 1 == superblock_.block_count ? std::uint32_t{superblock_.first}
                                                  : log_block + 1;
}

int Journal::write_superblock() {
  superblock_.checksum = has_checksums() ? superblock_checksum(superblock_) : 0;
  std::memset(block_, 0, block_size_);
  std::memcpy(block_, &superblock_, sizeof(superblock_));
  return write_log(0, block_);
}

int Journal::open() {
  if (const int failed = read_log(0, block_)) {
    return failed;
  }
  std::memcpy(&superblock_, block_, sizeof(superblock_));
  std::uint64_t blocks = 0;
  for (const JournalExtent& extent : extents_) {
    blocks += extent.count;
  }
  const std::uint32_t count = superblock_.block_count;
  const std::uint32_t first = superblock_.first;
  const std::uint32_t start = superblock_.start;
  if (superblock_.header.magic != kJournalMagic || superblock_.block_size != block_size_ ||
      count > blocks || count > kMostBlocks || first == 0 || first >= count || count - first < 64 ||
      (start != 0 && (start < first || start >= count))) {
    return EINVAL;
  }
  // The first version, and journals of several file systems.
  if (superblock_.header.type != kSuperblockVersion2 || superblock_.users > 1) {
    return EOPNOTSUPP;
  }
  const std::uint32_t features = superblock_.incompatible_features;
  const bool is_checked = has_checksums() || has_transaction_checksums();
  if (start != 0 && ((features & ~kReplayedFeatures) != 0 ||
                     ((features & kJournalAsyncCommit) != 0 && !is_checked) ||
                     (has_checksums() && has_transaction_checksums()))) {
    return EOPNOTSUPP;
  }
  if (has_checksums() && (superblock_.checksum_type != kChecksumCrc32c ||
                          superblock_.checksum != superblock_checksum(superblock_))) {
    return EINVAL;
  }
  seed_ = crc32c(~0u, superblock_.uuid, sizeof(superblock_.uuid));
  sequence_ = superblock_.sequence;
  return 0;
}

bool Journal::tail_checksum_is_good() const {
  const std::size_t hole = block_size_ - kTailSize;
  return !has_checksums() ||
         read_as<Big32>(block_ + hole) == checksum_without(seed_, block_, block_size_, hole);
}

bool Journal::commit_is_good() const {
  constexpr std::size_t kHole = offsetof(CommitBlock, checksum);
  return !has_checksums() ||
         read_as<Big32>(block_ + kHole) == checksum_without(seed_, block_, block_size_, kHole);
}

// Whether the transaction is there that the commit block in `block_` ends, and that was just walked
// over.
bool Journal::transaction_is_good() const {
  if (!has_transaction_checksums()) {
    return true;
  }
  const auto commit = read_as<CommitBlock>(block_);
  if (commit.checksum_type == 0 && commit.checksum_size == 0 && commit.checksum[0] == 0) {
    // One without; then its blocks were flushed before it.
    return (superblock_.incompatible_features & kJournalAsyncCommit) == 0;
  }
  return commit.checksum_type == kChecksumCrc32 && commit.checksum_size == sizeof(sum_) &&
         commit.checksum[0] == sum_;
}

// Reads the tag at `offset` of the descriptor in `block_`, and moves past it.
bool Journal::read_tag(std::size_t& offset, Tag& tag) const {
  const std::size_t end = block_size_ - (has_checksums() ? kTailSize : 0);
  const bool wide = (superblock_.incompatible_features & kJournal64Bit) != 0;
  const std::size_t size = has_checksums() ? sizeof(TagV3) : wide ? 12 : 8;
  if (offset + size > end) {
    return false;
  }
  const std::byte* const at = block_ + offset;
  tag.block = read_as<Big32>(at);
  if (has_checksums()) {
    const auto raw = read_as<TagV3>(at);
    tag.flags = raw.flags;
    tag.checksum = raw.checksum;
    tag.block |= wide ? std::uint64_t{raw.block_high} << 32 : 0;
  } else {
    tag.flags = read_as<Big16>(at + 6);
    tag.block |= wide ? std::uint64_t{read_as<Big32>(at + 8)} << 32 : 0;
  }
  offset += size + ((tag.flags & kTagSameUuid) != 0 ? 0 : kUuidSize);
  return true;
}

bool Journal::is_revoked(std::uint64_t block) const {
  return std::any_of(
      revokes_.begin(), revokes_.begin() + static_cast<std::ptrdiff_t>(revoke_count_),
      [&](const Revoke& each) {
        return each.block == block && static_cast<std::int32_t>(replayed_ - each.sequence) <= 0;
      });
}

int Journal::take_revokes() {
  const bool wide = (superblock_.incompatible_features & kJournal64Bit) != 0;
  const std::size_t size = wide ? 8 : 4;
  const std::size_t end = std::min<std::size_t>(read_as<RevokeHeader>(block_).size,
                                                block_size_ - (has_checksums() ? kTailSize : 0));
  for (std::size_t at = sizeof(RevokeHeader); at + size <= end; at += size) {
    if (revoke_count_ == revokes_.size()) {
      return EOPNOTSUPP;
    }
    revokes_[revoke_count_++] = {wide ? std::uint64_t{read_as<Big64>(block_ + at)}
                                      : std::uint64_t{read_as<Big32>(block_ + at)},
                                 replayed_};
  }
  return 0;
}

int Journal::replay_block(const Tag& tag, std::uint32_t at) {
  if (is_revoked(tag.block)) {
    return 0;
  }
  if (const int failed = read_log(at, copy_)) {
    return failed;
  }
  if (has_checksums()) {
    const Big32 sequence = replayed_;
    if (crc32c(crc32c(seed_, &sequence, sizeof(sequence)), copy_, block_size_) != tag.checksum) {
      return EIO;
    }
  }
  if ((tag.flags & kTagEscaped) != 0) {
    const Big32 magic = kJournalMagic;
    std::memcpy(copy_, &magic, sizeof(magic));
  }
  if (tag.block >= cache_.disk().size() / block_size_) {
    return EIO;
  }
  return cache_.disk().write(tag.block * block_size_, copy_, block_size_);
}

int Journal::add_to_checksum(std::uint32_t at) {
  if (!has_transaction_checksums()) {
    return 0;
  }
  const int failed = read_log(at, copy_);
  sum_ = crc32_be(sum_, copy_, block_size_);
  return failed;
}

// Goes over the blocks of the descriptor in `block_`; `at` is then the one after them.
int Journal::take_descriptor(Pass pass, std::uint32_t& at) {
  std::size_t offset = sizeof(JournalHeader);
  Tag tag{};
  while (read_tag(offset, tag)) {
    const int failed = pass == Pass::kReplay ? replay_block(tag, at)
                       : pass == Pass::kScan ? add_to_checksum(at)
                                             : 0;
    if (failed != 0) {
      return failed;
    }
    at = next(at);
    if ((tag.flags & kTagLast) != 0) {
      break;
    }
  }
  return 0;
}

// Walks the log from its start to the last transaction that is whole: the first time to find that.
int Journal::run(Pass pass) {
  std::uint32_t at = superblock_.start;
  replayed_ = superblock_.sequence;
  const std::uint32_t most = superblock_.block_count - superblock_.first;
  std::uint32_t walked = 0;
  sum_ = ~0u;
  while (pass == Pass::kScan || replayed_ != end_sequence_) {
    if (const int failed = read_log(at, block_)) {
      return failed;
    }
    const std::uint32_t before = at;
    at = next(at);
    if (is_header(block_, kDescriptorBlock, replayed_) && tail_checksum_is_good()) {
      sum_ = crc32_be(sum_, block_, block_size_);
      if (const int failed = take_descriptor(pass, at)) {
        return failed;
      }
    } else if (is_header(block_, kCommitBlock, replayed_) && commit_is_good() &&
               (pass != Pass::kScan || transaction_is_good())) {
      ++replayed_;
      sum_ = ~0u;
    } else if (is_header(block_, kRevokeBlock, replayed_) && tail_checksum_is_good()) {
      if (const int failed = pass == Pass::kRevoke ? take_revokes() : 0) {
        return failed;
      }
    } else if (pass == Pass::kScan) {
      break;
    } else {
      return EIO;  // it was there a moment ago
    }
    walked += at > before ? at - before : at + most - before;
    if (walked > most) {
      break;
    }
  }
  end_sequence_ = replayed_;
  return 0;
}

int Journal::replay() {
  if (const int failed = run(Pass::kScan)) {
    return failed;
  }
  // What was found may have been read from a cache: it must outlive a power cut before its places
  // change.
  if (const int failed = cache_.disk().flush()) {
    return failed;
  }
  for (const Pass pass : {Pass::kRevoke, Pass::kReplay}) {
    if (const int failed = run(pass)) {
      return failed;
    }
  }
  if (const int failed = cache_.disk().flush()) {
    return failed;
  }
  cache_.clear();
  sequence_ = end_sequence_ + 1;
  return end();
}

int Journal::recover() {
  cache_.disk().forget_failure();
  if (const int failed = run(Pass::kScan)) {
    return failed;
  }
  // Each commit up to sequence_ was flushed. One after it may be there whole, but it has failed.
  if (static_cast<std::int32_t>(end_sequence_ - sequence_) < 0) {
    return EIO;
  }
  end_sequence_ = sequence_;
  if (const int failed = run(Pass::kReplay)) {
    return failed;
  }
  // Which tells whether all was written.
  return cache_.disk().flush();
}

}  // namespace ext4
