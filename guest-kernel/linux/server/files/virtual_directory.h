#pragma once

#include <string_view>
#include <utility>

#include "guest-kernel/linux/server/directory.h"

namespace linux_server {

// A directory of the server's own, in /proc or /sys.
class VirtualDirectory : public Directory {
 public:
  explicit VirtualDirectory(std::string_view name, std::uint32_t device = kProcDevice)
      : VirtualDirectory(Name(name), device) {}
  VirtualDirectory(Name name, std::uint32_t device) : Directory(std::move(name), 0555) {
    attributes_.device = device;
    attributes_.accessed = attributes_.modified = attributes_.changed = file_time();
  }

  Result<Reference<Node>> create(std::string_view /*name*/, const NewNode& /*what*/) override {
    return fail(ENOENT);
  }
  Result<void> link(std::string_view /*name*/, Node& /*child*/) override { return fail(EPERM); }
  Result<void> remove(std::string_view /*name*/, Node& /*child*/) override { return fail(EPERM); }
  Result<void> rename(std::string_view /*name*/, Node& /*child*/, Node& /*to*/,
                      std::string_view /*new_name*/, Node* /*existing*/,
                      bool /*exchange*/) override {
    return fail(EPERM);
  }
};

}  // namespace linux_server
