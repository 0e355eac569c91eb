// A journal with any contents: its replay ends, with an errno or not, and stays on the disk.

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <vector>

#include "guest-kernel/ext4/journal.h"

namespace {

constexpr std::uint32_t kBlock = 1024;
constexpr std::uint32_t kLog = 96;
constexpr std::size_t kSize = 256 * std::size_t{kBlock};

class Memory : public ext4::Disk {
 public:
  int read(std::uint64_t offset, void* to, std::uint64_t size) override {
    if (offset > kSize || size > kSize - offset) {
      return EIO;
    }
    std::memcpy(to, bytes.data() + offset, size);
    return 0;
  }
  int write(std::uint64_t offset, const void* from, std::uint64_t size) override {
    if (offset > kSize || size > kSize - offset) {
      return EIO;
    }
    std::memcpy(bytes.data() + offset, from, size);
    return 0;
  }
  int flush() override { return 0; }
  std::uint64_t size() const override { return kSize; }
  bool is_read_only() const override { return false; }

  std::vector<std::byte> bytes = std::vector<std::byte>(kSize);
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Memory disk;
  std::memcpy(disk.bytes.data(), data, std::min(size, std::size_t{kLog} * kBlock));
  // What open() wants to see at least; the rest is the input's.
  ext4::JournalSuperblock superblock;
  std::memcpy(&superblock, disk.bytes.data(), sizeof(superblock));
  superblock.header = {ext4::kJournalMagic, ext4::kSuperblockVersion2, 0};
  superblock.block_size = kBlock;
  superblock.block_count = kLog;
  superblock.first = 1;
  superblock.users = 1;
  superblock.incompatible_features = superblock.incompatible_features & 7;
  std::memcpy(disk.bytes.data(), &superblock, sizeof(superblock));
  std::vector<std::byte> memory(64 * 1024);
  ext4::BlockCache cache(disk, memory, kBlock);
  const ext4::JournalExtent extents[] = {{0, 40}, {60, kLog - 40}};
  std::vector<std::byte> scratch(2 * kBlock);
  std::vector<ext4::Journal::Revoke> revokes(64);
  ext4::Journal journal(cache, extents, scratch, revokes);
  if (journal.open() == 0 && (!journal.needs_replay() || journal.replay() == 0) &&
      journal.begin() == 0) {
    const std::vector<std::byte> block(kBlock, std::byte{1});
    static_cast<void>(cache.write(200 * std::uint64_t{kBlock}, block.data(), block.size()));
    static_cast<void>(journal.commit(1));
  }
  return 0;
}
