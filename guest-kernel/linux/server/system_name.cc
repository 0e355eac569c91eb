#include "guest-kernel/linux/server/system_name.h"

#include <algorithm>
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

void set_system_name_field(SystemNameField field, std::string_view text) {
  auto& to = name.fields[static_cast<std::size_t>(field)];
  to = {};
  std::copy_n(text.begin(), std::min(text.size(), to.size() - 1), to.begin());
}

}  // namespace linux_server
