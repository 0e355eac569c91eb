#include "guest-kernel/linux/server/system_name.h"

#include <cstddef>

#include "guest-kernel/lib/format.h"

namespace linux_server {
namespace {

constinit SystemName name = {};

}  // namespace

const SystemName& system_name() {
  return name;
}

void set_system_name(std::string_view node) {
  const std::array<std::string_view, 6> values = {"Linux",  node,     kRelease,
                                                  kVersion, "x86_64", "(none)"};
  for (std::size_t index = 0; index < values.size(); ++index) {
    guest::copy_text(name.fields[index], values[index]);
  }
}

}  // namespace linux_server
