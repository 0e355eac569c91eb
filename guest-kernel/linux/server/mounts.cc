#include "guest-kernel/linux/server/mounts.h"

#include <algorithm>
#include <array>

namespace linux_server {
namespace {

constexpr std::uint32_t kFirstId = 20;

constinit std::array<Mount, 32> table;
constinit std::size_t count = 0;
constinit std::uint32_t last_device = kFirstDevice - 1;

}  // namespace

std::span<const Mount> mounts() {
  return std::span(table).first(count);
}

const Mount* mount_of(std::uint32_t device) {
  const auto all = mounts();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const Mount& each) { return each.device == device; });
  return found == all.end() ? nullptr : &*found;
}

bool is_read_only(const Node& node) {
  const Mount* mount = mount_of(node);
  return mount != nullptr && mount->read_only;
}

bool is_mount_root(const Node& node) {
  const auto all = mounts();
  return std::any_of(all.begin(), all.end(), [&](const Mount& each) { return each.root == &node; });
}

void set_read_only(std::uint32_t device) {
  for (Mount& each : std::span(table).first(count)) {
    each.read_only = each.read_only || each.device == device;
  }
}

std::uint32_t next_device() {
  return ++last_device;
}

bool add_mount(Node& root, std::string_view type, std::string_view source, std::uint32_t magic,
               bool read_only) {
  if (count == table.size()) {
    return false;
  }
  const Mount* above = root.parent() != nullptr ? mount_of(*root.parent()) : nullptr;
  root.acquire();
  Mount& mount = table[count];
  mount.id = kFirstId + static_cast<std::uint32_t>(count);
  mount.parent = above != nullptr ? above->id : 1;
  mount.device = root.device();
  mount.magic = magic;
  mount.type = type;
  mount.source = source;
  mount.read_only = read_only;
  mount.root = &root;
  ++count;
  return true;
}

}  // namespace linux_server
