#pragma once

#include <string_view>

#include "guest-kernel/linux/server/node.h"

namespace linux_server {

// A symbolic link of the server's own.
class LinkNode : public Node {
 public:
  LinkNode(std::string_view name, std::string_view target, std::uint32_t device = kProcDevice)
      : Node(name, kSymbolicLink | 0777), target_(target) {
    attributes_.device = device;
  }
  std::uint64_t size() const override { return target_.size(); }
  Result<std::string_view> read_link(std::span<char> /*buffer*/,
                                     const Process* /*viewer*/) const override {
    return target_;
  }

 private:
  std::string_view target_;
};

}  // namespace linux_server
