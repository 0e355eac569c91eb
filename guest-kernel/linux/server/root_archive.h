#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "guest-kernel/linux/server/directory.h"

namespace linux_server {

// Why an archive could not be read to its end.
struct ArchiveError {
  std::string_view entry;  // its name; empty if the archive itself is malformed
  std::string_view reason;
};

// A regular file, link or device of the root archive.
class RootNode : public Node {
 public:
  RootNode(std::string_view name, std::uint32_t mode, std::span<const std::byte> data);

  Attributes attributes(const Process* viewer) const override;
  std::uint64_t size() const override { return data_.size(); }
  Result<std::string_view> read_link(std::span<char> buffer, const Process* viewer) const override;
  Result<Reference<File>> open(std::uint32_t flags, Process& opener) override;
  std::span<const std::byte> contents() const override { return data_; }

  void set_attributes(const StoredAttributes& attributes) { attributes_ = attributes; }
  void set_data(std::span<const std::byte> data) { data_ = data; }

 private:
  std::span<const std::byte> data_;
};

// Fills `root` with the entries of a cpio archive in "newc" format. Names and contents stay where
// they are: `archive` must outlive the nodes. Entries before a malformed one are kept. Hard links
// share contents and inode; missing parent directories are made up, and links in the place of one
// are followed. Only entries whose name starts with `prefix` are taken; `device` becomes their
// st_dev. A name that exists on another device is left as it is.
std::expected<void, ArchiveError> read_root_archive(std::span<const std::byte> archive,
                                                    std::string_view prefix, std::uint32_t device,
                                                    Directory& root);

}  // namespace linux_server
