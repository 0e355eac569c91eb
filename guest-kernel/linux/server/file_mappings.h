#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/node.h"

namespace linux_server {

// The pages `first` … `last` of a file are about to go: no program sees them any more. `copies`:
// private copies go too, as truncate(2) has it.
void forget_mapped_pages(const Node& file, std::uint64_t first, std::uint64_t last, bool copies);
// Whether a program shares a mapping of the file that it may write to.
bool is_mapped_writable(const Node& file);

}  // namespace linux_server
