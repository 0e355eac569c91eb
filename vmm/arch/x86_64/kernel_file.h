#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "vmm/error.h"

namespace ensemble::vmm::arch {

// A kernel that a user named, in whatever format.
struct KernelFile {
  std::string label;  // "kernel FILE", for errors.
  std::vector<std::byte> contents;
};

// The file at `path`, of 512 MiB at most.
Result<KernelFile> read_kernel_file(const std::string& path);

}  // namespace ensemble::vmm::arch
