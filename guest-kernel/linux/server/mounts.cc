#include "guest-kernel/linux/server/mounts.h"

#include <algorithm>
#include <array>

#include "guest-kernel/linux/server/reference.h"

namespace linux_server {
namespace {

constexpr std::uint32_t kFirstId = 20;

constinit std::array<Mount, 32> table;
constinit std::size_t count = 0;
constinit std::uint32_t last_device = kFirstDevice - 1;
constinit std::uint32_t last_id = kFirstId - 1;
constinit std::uint32_t covering = 0;  // those with a covered directory

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
  mount = {};
  mount.id = ++last_id;
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

Result<void> add_mount_over(Node& covered, Node& root, std::string_view type,
                            std::string_view source, std::uint32_t magic, bool read_only) {
  root.set_place(covered.shared_name(), covered.parent());
  if (!add_mount(root, type, source, magic, read_only)) {
    return fail(EBUSY);
  }
  covered.acquire();
  table[count - 1].covered = &covered;
  ++covering;
  return {};
}

Mount* find_mount(const Node& root) {
  const auto end = table.begin() + count;
  const auto found =
      std::find_if(table.begin(), end, [&](const Mount& each) { return each.root == &root; });
  return found == end ? nullptr : &*found;
}

void remove_mount(Mount& mount) {
  const Reference<Node> root(mount.root);
  const Reference<Node> covered(mount.covered);
  root->release();
  covered->release();
  std::move(&mount + 1, table.data() + count, &mount);
  --count;
  --covering;
}

Node* mounted_over(const Node& directory) {
  for (std::size_t index = covering == 0 ? 0 : count; index != 0; --index) {
    if (table[index - 1].covered == &directory) {
      return table[index - 1].root;
    }
  }
  return nullptr;
}

}  // namespace linux_server
