#include "guest-kernel/ext4/library_io.h"

#include <cerrno>
#include <cstring>

namespace ext4 {
namespace {

constinit BlockCache* current = nullptr;
constinit struct_io_channel the_channel = {};
char channel_name[] = "disk";

std::uint64_t size_of(io_channel channel, int count) {
  return count < 0
             ? static_cast<std::uint64_t>(-std::int64_t{count})
             : static_cast<std::uint64_t>(count) * static_cast<std::uint64_t>(channel->block_size);
}

errcode_t open_channel(const char* /*name*/, int /*flags*/, io_channel* channel) {
  the_channel = {};
  the_channel.magic = EXT2_ET_MAGIC_IO_CHANNEL;
  the_channel.manager = library_io();
  the_channel.name = channel_name;
  the_channel.block_size = 1024;
  the_channel.refcount = 1;
  *channel = &the_channel;
  return current == nullptr ? EXT2_ET_BAD_DEVICE_NAME : 0;
}
errcode_t close_channel(io_channel /*channel*/) {
  return 0;
}
errcode_t set_block_size(io_channel channel, int size) {
  channel->block_size = size;
  return 0;
}
errcode_t read_blocks(io_channel channel, unsigned long long block, int count, void* data) {
  return current->read(block * static_cast<unsigned>(channel->block_size), data,
                       size_of(channel, count));
}
errcode_t write_blocks(io_channel channel, unsigned long long block, int count, const void* data) {
  return current->write(block * static_cast<unsigned>(channel->block_size), data,
                        size_of(channel, count));
}
errcode_t read_few(io_channel channel, unsigned long block, int count, void* data) {
  return read_blocks(channel, block, count, data);
}
errcode_t write_few(io_channel channel, unsigned long block, int count, const void* data) {
  return write_blocks(channel, block, count, data);
}
errcode_t flush_channel(io_channel /*channel*/) {
  return current->flush_if_direct();
}
errcode_t zero_blocks(io_channel channel, unsigned long long block, unsigned long long count) {
  return current->zero(block * static_cast<unsigned>(channel->block_size),
                       count * static_cast<unsigned>(channel->block_size));
}

struct_io_manager make_manager() {
  struct_io_manager manager = {};
  manager.magic = EXT2_ET_MAGIC_IO_MANAGER;
  manager.name = "block cache";
  manager.open = open_channel;
  manager.close = close_channel;
  manager.set_blksize = set_block_size;
  manager.read_blk = read_few;
  manager.write_blk = write_few;
  manager.flush = flush_channel;
  manager.read_blk64 = read_blocks;
  manager.write_blk64 = write_blocks;
  manager.zeroout = zero_blocks;
  return manager;
}

}  // namespace

void use_cache(BlockCache* cache) {
  current = cache;
}

io_manager library_io() {
  static struct_io_manager manager = make_manager();
  return &manager;
}

int error_number(errcode_t error) {
  switch (error) {
    case 0:
      return 0;
    case EXT2_ET_BLOCK_ALLOC_FAIL:
    case EXT2_ET_INODE_ALLOC_FAIL:
    case ENOSPC:
      return ENOSPC;
    case EXT2_ET_NO_MEMORY:
    case ENOMEM:
      return ENOMEM;
    case EXT2_ET_FILE_NOT_FOUND:
      return ENOENT;
    case EXT2_ET_NO_DIRECTORY:
      return ENOTDIR;
    case EXT2_ET_FILE_TOO_BIG:
      return EFBIG;
    default:
      return EIO;
  }
}

}  // namespace ext4
