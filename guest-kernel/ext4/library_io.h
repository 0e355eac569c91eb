#pragma once

#include <ext2fs/ext2fs.h>

#include "guest-kernel/ext4/block_cache.h"

namespace ext4 {

// libext2fs's I/O goes through `cache` from here on: it knows one file system at a time.
void use_cache(BlockCache* cache);
io_manager library_io();
// An errno for an error of libext2fs; 0 for none.
int error_number(errcode_t error);

}  // namespace ext4
