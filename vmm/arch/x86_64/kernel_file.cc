#include "kernel_file.h"

#include <utility>

#include "vmm/input_file.h"

namespace ensemble::vmm::arch {
namespace {

constexpr uint64_t kKernelFileLimit = 512ull * 1024 * 1024;

}  // namespace

Result<KernelFile> read_kernel_file(const std::string& path) {
  auto file = InputFile::open("kernel", path);
  if (!file) {
    return std::unexpected(file.error());
  }
  auto contents = file->read_all(kKernelFileLimit);
  if (!contents) {
    return std::unexpected(contents.error());
  }
  return KernelFile{.label = file->label(), .contents = std::move(*contents)};
}

}  // namespace ensemble::vmm::arch
