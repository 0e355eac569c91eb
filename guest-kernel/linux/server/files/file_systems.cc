#include "guest-kernel/linux/server/files/file_systems.h"

#include <linux/magic.h>

#include <iterator>

#include "guest-kernel/linux/server/files/disk_file_system.h"
#include "guest-kernel/linux/server/files/disk_nodes.h"
#include "guest-kernel/linux/server/files/tmpfs.h"
#include "guest-kernel/linux/server/mounts.h"
#include "guest-kernel/linux/server/server.h"

namespace linux_server {
namespace {

struct Description {
  std::string_view path;
  std::uint32_t permissions;
};

constexpr Description kPlaces[] = {
    {"/tmp", 01777},     {"/run", 0755},  {"/dev/shm", 01777},
    {"/var/tmp", 01777}, {"/root", 0700}, {"/data", 0755},
};

}  // namespace

bool add_root_mount(Directory& root) {
  StoredAttributes attributes = root.attributes(nullptr);
  attributes.device = kRootDevice;
  root.set_attributes(attributes);
  return add_mount(root, "rootfs", "rootfs", RAMFS_MAGIC, true);
}

bool mount_writable_file_systems(Directory& root) {
  for (const Description& each : kPlaces) {
    const bool is_data = each.path == "/data";
    if (is_data && DiskFileSystem::exists()) {
      if (!mount_disk(root)) {
        return false;
      }
      continue;
    }
    if (is_data && server().info().find(guest::Role::kBlock) != nullptr) {
      server().report(
          "linux server: /data: the disk's file system cannot be kept; files there are lost at the "
          "end");
    }
    if (mount_tmpfs(root, each.path, "tmpfs", each.permissions) == nullptr) {
      return false;
    }
  }
  return true;
}

}  // namespace linux_server
