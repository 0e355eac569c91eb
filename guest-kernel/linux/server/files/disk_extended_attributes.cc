#include <algorithm>
#include <cstring>

#include "guest-kernel/linux/server/extended_attributes.h"
#include "guest-kernel/linux/server/files/disk_file_system.h"
#include "guest-kernel/linux/server/files/disk_nodes.h"

// Extended attributes on the disk.
namespace linux_server {
namespace {

using ext4::Request;
using Words = DiskFileSystem::Words;

class DiskAttributes final : public AttributeStore {
 public:
  void use(const Node& node) { inode_ = node.inode(); }

  Result<std::uint64_t> get(std::string_view name, std::span<std::byte> to) override {
    return fetch(Request::kGetAttribute, name, to);
  }
  Result<std::uint64_t> list(std::span<std::byte> to) override {
    return fetch(Request::kListAttributes, {}, to);
  }
  Result<void> set(std::string_view name, std::span<const std::byte> value) override {
    DiskFileSystem& disk = disk_file_system();
    if (!disk.put_name(name)) {
      return fail(ERANGE);
    }
    if (value.size() > disk.data().size()) {
      return fail(ENOSPC);
    }
    std::copy(value.begin(), value.end(), disk.data().begin());
    return change(Request::kSetAttribute, {inode_, name.size(), value.size()});
  }
  Result<void> remove(std::string_view name) override {
    return disk_file_system().put_name(name)
               ? change(Request::kRemoveAttribute, {inode_, name.size()})
               : fail(ERANGE);
  }

 private:
  Result<std::uint64_t> fetch(Request request, std::string_view name, std::span<std::byte> to) {
    DiskFileSystem& disk = disk_file_system();
    if (const int failed = disk.mount()) {
      return fail(failed);
    }
    if (!disk.put_name(name)) {
      return fail(ERANGE);
    }
    Words words = {inode_, name.size()};
    if (const int failed = disk.call(request, words)) {
      return fail(failed);
    }
    const std::uint64_t size = std::min<std::uint64_t>(words[0], disk.data().size());
    if (size <= to.size()) {
      std::copy_n(disk.data().begin(), size, to.begin());
    }
    return size;
  }
  static Result<void> change(Request request, Words words) {
    DiskFileSystem& disk = disk_file_system();
    const int failed = disk.is_mounted() ? disk.change(request, words) : EIO;
    return failed != 0 ? fail(failed) : Result<void>();
  }

  std::uint64_t inode_ = 0;
};

}  // namespace

AttributeStore* disk_attributes(const Node& node) {
  static constinit DiskAttributes attributes;
  attributes.use(node);
  return &attributes;
}

}  // namespace linux_server
