#pragma once

#include <cstdint>
#include <string_view>

#include "vmm/error.h"

namespace ensemble::control {

// The bytes that `text` names: a decimal number with a unit K, M, G, KiB, MiB or GiB (all powers
// of 1024), or without one for MiB. The error repeats the text and shows the form expected.
Result<std::uint64_t> parse_memory_size(std::string_view text);

}  // namespace ensemble::control
