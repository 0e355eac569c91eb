#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "guest-kernel/ext4/library_io.h"
#include "guest-kernel/ext4/volume.h"

namespace ext4 {
namespace {

constexpr std::uint64_t kBlock = 4096;
constexpr std::uint64_t kLeastBlocks = 2048;  // 8 MiB, half of it journal
constexpr std::uint64_t kBytesPerInode = 16384;

// Stands in the first sector, which ext4 leaves alone, for as long as a disk is being formatted.
constexpr std::array<char, Disk::kSector> kMarker = {"Ensemble is formatting this disk."};

void describe(ext2_super_block& param, std::uint64_t blocks) {
  param.s_log_block_size = 2;
  param.s_log_cluster_size = 2;
  param.s_rev_level = EXT2_DYNAMIC_REV;
  param.s_inode_size = 256;
  param.s_inodes_count = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(blocks * kBlock / kBytesPerInode, 1u << 24));
  param.s_feature_incompat = EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_EXTENTS |
                             EXT4_FEATURE_INCOMPAT_64BIT | EXT4_FEATURE_INCOMPAT_FLEX_BG;
  param.s_feature_ro_compat =
      EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE |
      EXT4_FEATURE_RO_COMPAT_HUGE_FILE | EXT4_FEATURE_RO_COMPAT_DIR_NLINK |
      EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE | EXT4_FEATURE_RO_COMPAT_METADATA_CSUM;
  param.s_feature_compat = EXT2_FEATURE_COMPAT_EXT_ATTR;
  param.s_log_groups_per_flex = 4;
  ext2fs_blocks_count_set(&param, blocks);
}

errcode_t fill(ext2_filsys fs, BlockCache& cache, std::int64_t now,
               std::span<const std::byte, 16> random) {
  fs->now = now / 1'000'000'000;
  fs->super->s_max_mnt_count = -1;
  fs->super->s_checkinterval = 0;
  fs->super->s_want_extra_isize = fs->super->s_min_extra_isize =
      sizeof(ext2_inode_large) - EXT2_GOOD_OLD_INODE_SIZE;
  fs->super->s_def_hash_version = EXT2_HASH_HALF_MD4;
  fs->super->s_flags = EXT2_FLAGS_SIGNED_HASH;
  fs->super->s_errors = EXT2_ERRORS_RO;
  fs->super->s_checksum_type = EXT2_CRC32C_CHKSUM;
  auto& uuid = fs->super->s_uuid;
  std::memcpy(uuid, random.data(), random.size());
  // RFC 4122: a random one.
  uuid[6] = static_cast<std::uint8_t>((uuid[6] & 0x0f) | 0x40);
  uuid[8] = static_cast<std::uint8_t>((uuid[8] & 0x3f) | 0x80);
  std::memcpy(fs->super->s_hash_seed, random.data(), sizeof(fs->super->s_hash_seed));
  ext2fs_init_csum_seed(fs);
  if (const errcode_t error = ext2fs_allocate_tables(fs)) {
    return error;
  }
  // The first inodes are read before they are written, and a format() that was cut off may have
  // left some. All others count as never used.
  if (cache.zero(ext2fs_inode_table_loc(fs, 0) * kBlock, 2 * kBlock) != 0) {
    return EXT2_ET_SHORT_WRITE;
  }
  for (ext2_ino_t inode = EXT2_ROOT_INO + 1; inode < EXT2_FIRST_INODE(fs->super); ++inode) {
    ext2fs_inode_alloc_stats2(fs, inode, 1, 0);
  }
  ext2fs_inode_alloc_stats2(fs, EXT2_BAD_INO, 1, 0);
  if (const errcode_t error = ext2fs_mkdir(fs, EXT2_ROOT_INO, EXT2_ROOT_INO, nullptr)) {
    return error;
  }
  if (const errcode_t error = ext2fs_mkdir(fs, EXT2_ROOT_INO, 0, "lost+found")) {
    return error;
  }
  const std::uint64_t blocks = ext2fs_blocks_count(fs->super);
  const std::uint64_t journal = std::clamp<std::uint64_t>(std::bit_floor(blocks / 64), 1024, 8192);
  return ext2fs_add_journal_inode2(fs, static_cast<blk_t>(journal), ~blk64_t{0}, 0);
}

}  // namespace

bool is_blank(Disk& disk, std::span<std::byte> memory) {
  // Where file systems, partition tables and parts of RAIDs have their marks.
  constexpr std::uint64_t kStart = 1024 * 1024;
  constexpr std::uint64_t kEnd = 128 * 1024;
  const std::uint64_t size = disk.size() / kBlock * kBlock;
  for (std::uint64_t at = 0; at < size;) {
    // A file system shows in the first block.
    const auto piece =
        memory.first(std::min<std::uint64_t>(at == 0 ? kBlock : 15 * kBlock, size - at));
    if (disk.read(at, piece.data(), piece.size()) != 0) {
      return false;
    }
    if (at == 0 && std::memcmp(piece.data(), kMarker.data(), kMarker.size()) == 0) {
      return true;
    }
    if (std::any_of(piece.begin(), piece.end(),
                    [](std::byte each) { return each != std::byte{}; })) {
      return false;
    }
    at += piece.size();
    if (at >= kStart && size > kEnd) {
      at = std::max(at, size - kEnd);
    }
  }
  return true;
}

int format(BlockCache& cache, std::int64_t now, std::span<const std::byte, 16> random) {
  const std::uint64_t blocks =
      std::min<std::uint64_t>(cache.disk().size() / kBlock, std::uint64_t{1} << 30);
  if (blocks < kLeastBlocks) {
    return ENOSPC;
  }
  if (cache.disk().write(0, kMarker.data(), kMarker.size()) != 0 || cache.disk().flush() != 0) {
    return EIO;
  }
  ext2_super_block param;
  std::memset(&param, 0, sizeof(param));
  describe(param, blocks);
  use_cache(&cache);
  ext2_filsys fs = nullptr;
  errcode_t error = ext2fs_initialize("disk", EXT2_FLAG_64BITS, &param, library_io(), &fs);
  if (error != 0) {
    return error_number(error);
  }
  error = fill(fs, cache, now, random);
  if (error != 0) {
    ext2fs_free(fs);
    return error_number(error);
  }
  error = ext2fs_close_free(&fs);
  if (error != 0) {
    return error_number(error);
  }
  constexpr std::array<char, Disk::kSector> kNothing = {};
  if (cache.disk().flush() != 0 || cache.disk().write(0, kNothing.data(), kNothing.size()) != 0) {
    return EIO;
  }
  return cache.disk().flush();
}

}  // namespace ext4
