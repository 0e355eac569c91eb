#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "guest-kernel/ext4/block_cache.h"
#include "guest-kernel/ext4/journal_format.h"

namespace ext4 {

// A run of the journal's blocks that lie one after another on the disk.
struct JournalExtent {
  std::uint64_t first = 0;  // on the disk
  std::uint32_t count = 0;
};

// The journal of a file system, in format JBD2. A commit writes all dirty blocks of the cache, data
// too, to the log; they go to their places when the log has been filled, or after a power cut by
// replay(). One flush ends a commit: the checksum in its last block tells whether the disk had all
// of it. Methods return 0 or an errno.
class Journal {
 public:
  // A block of an earlier transaction that must not be replayed: it was freed.
  struct Revoke {
    std::uint64_t block;
    std::uint32_t sequence;
  };

  // `extents`, `scratch` (two blocks) and `revokes` (room for those of a replay) live as long as
  // this.
  Journal(BlockCache& cache, std::span<const JournalExtent> extents, std::span<std::byte> scratch,
          std::span<Revoke> revokes);

  // Reads and checks the superblock. EINVAL: damaged. EOPNOTSUPP: features that are not known.
  // Once.
  int open();
  bool needs_replay() const { return superblock_.start != 0; }
  // Writes what was committed to its places, and empties the journal. The cache must be clean.
  int replay();
  // Makes it ready for commits, with features of our own choice. After replay().
  int begin();
  // After it all dirty blocks survive a power cut. Nothing to do where there are none.
  int commit(std::int64_t seconds);
  // Blocks that one commit can take.
  std::size_t capacity() const;
  // Puts everything in its place, and empties the journal.
  int end();
  // Puts what was committed in its place after an error: the cache has been emptied.
  int recover();

 private:
  struct Tag {
    std::uint64_t block;
    std::uint32_t flags;
    std::uint32_t checksum;
  };
  enum class Pass : std::uint8_t { kScan, kRevoke, kReplay };

  std::uint64_t disk_offset(std::uint32_t log_block) const;
  int read_log(std::uint32_t log_block, std::byte* to);
  int write_log(std::uint32_t log_block, const std::byte* from);
  std::uint32_t next(std::uint32_t log_block) const;
  int write_superblock();
  // Version 3: each block has one. Version 1: each transaction has one.
  bool has_checksums() const;
  bool has_transaction_checksums() const;

  int run(Pass pass);
  int take_descriptor(Pass pass, std::uint32_t& at);
  bool read_tag(std::size_t& offset, Tag& tag) const;
  int replay_block(const Tag& tag, std::uint32_t at);
  int add_to_checksum(std::uint32_t at);
  int take_revokes();
  bool is_revoked(std::uint64_t block) const;
  bool tail_checksum_is_good() const;
  bool commit_is_good() const;
  bool transaction_is_good() const;

  std::size_t blocks_per_descriptor() const;
  std::size_t fill_descriptor(std::size_t from);
  int write_summed(std::uint32_t at, const std::byte* from);
  int write_group(std::size_t& from, std::uint32_t& at);
  int write_commit_block(std::uint32_t at, std::int64_t seconds);
  int place_blocks();
  int place_from_log();
  int restart_log();

  BlockCache& cache_;
  std::span<const JournalExtent> extents_;
  std::byte* block_;  // a descriptor, commit or superblock
  std::byte* copy_;   // a block of the log
  std::uint32_t block_size_;
  JournalSuperblock superblock_{};
  std::uint32_t seed_ = 0;
  std::uint32_t sum_ = 0;           // of a transaction, as far as it was read or written
  std::uint32_t head_ = 0;          // where the next transaction goes
  std::uint32_t sequence_ = 0;      // its number
  std::uint32_t used_ = 0;          // blocks of the log since superblock_.start
  std::uint32_t end_sequence_ = 0;  // of a replay: the first that is not there
  std::uint32_t replayed_ = 0;      // the transaction that a replay is at
  std::span<Revoke> revokes_;
  std::size_t revoke_count_ = 0;
};

}  // namespace ext4
