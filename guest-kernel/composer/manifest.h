#pragma once

#include <cstddef>
#include <span>

#include "guest-kernel/composer/machine.h"

namespace composer {

// Reads a flattened device tree (docs/machine.md). Returns nullptr, or a sentence that says what is
// wrong with it. The machine's texts point into `tree`.
const char* read_manifest(std::span<const std::byte> tree, Machine& machine);

}  // namespace composer
