#include "vmm/boot_source.h"

#include <algorithm>
#include <cctype>

namespace ensemble::vmm {
namespace {

constexpr size_t kModuleLimit = 16;
constexpr size_t kModuleNameLimit = 64;
constexpr size_t kCommandLineLimit = 2047;

}  // namespace

Result<void> check_boot_source(const BootSource& source) {
  if (source.command_line.size() > kCommandLineLimit) {
    return fail("the kernel command line has {} bytes; at most {} are possible",
                source.command_line.size(), kCommandLineLimit);
  }
  if (source.command_line.find('\0') != std::string::npos) {
    return fail("the kernel command line holds a NUL");
  }
  if (source.modules.size() > kModuleLimit) {
    return fail("there are {} boot modules; at most {} are possible", source.modules.size(),
                kModuleLimit);
  }
  for (const BootModule& module : source.modules) {
    const bool printable = std::ranges::all_of(
        module.name, [](unsigned char character) { return std::isgraph(character) != 0; });
    if (module.name.empty() || module.name.size() > kModuleNameLimit || !printable) {
      return fail("\"{}\" is no name for a boot module: 1 to {} printable characters are needed",
                  module.name, kModuleNameLimit);
    }
  }
  return {};
}

}  // namespace ensemble::vmm
