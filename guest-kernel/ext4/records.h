#pragma once

#include <cstdint>

// What a file system says of its files, and is told.
namespace ext4 {

inline constexpr std::uint32_t kRootInode = 2;

struct InodeRecord {
  std::uint32_t inode;
  std::uint32_t mode;
  std::uint32_t links;
  std::uint32_t user;
  std::uint32_t group;
  std::uint32_t device_number;  // as makedev(3) of Linux packs it into 32 bits
  std::uint64_t size;
  std::uint64_t allocated;  // bytes
  std::int64_t accessed;    // nanoseconds since 1970
  std::int64_t modified;
  std::int64_t changed;
  std::int64_t created;
};

// One entry of a directory; the name follows, and padding to a multiple of 8.
struct DirectoryRecord {
  InodeRecord inode;
  std::uint64_t name_size;
};

struct StatisticsRecord {
  std::uint64_t block_size;
  std::uint64_t blocks;
  std::uint64_t free_blocks;
  std::uint64_t inodes;
  std::uint64_t free_inodes;
};

struct RenameRecord {
  std::uint32_t directory;
  std::uint32_t inode;
  std::uint32_t new_directory;
  std::uint32_t existing;  // what has the new name; 0: nothing
  std::uint32_t exchange;  // 1: the two change places
};

}  // namespace ext4
