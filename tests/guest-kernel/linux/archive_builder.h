#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace linux_server {

// Builds newc archives with hard links.
class ArchiveBuilder {
 public:
  struct Entry {
    std::string name;
    std::uint32_t mode = 0;
    std::string content = {};
    std::uint32_t inode = 0;
    std::uint32_t links = 1;
  };

  ArchiveBuilder& add(const Entry& entry) {
    char header[111];
    std::snprintf(header, sizeof(header),
                  "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", entry.inode,
                  entry.mode, 0u, 0u, entry.links, 0u, static_cast<unsigned>(entry.content.size()),
                  0u, 0u, 0u, 0u, static_cast<unsigned>(entry.name.size() + 1), 0u);
    bytes_ += header + entry.name + '\0';
    pad();
    bytes_ += entry.content;
    pad();
    return *this;
  }
  std::string finish() { return add({.name = "TRAILER!!!"}).bytes_; }

 private:
  void pad() { bytes_.resize((bytes_.size() + 3) / 4 * 4, '\0'); }

  std::string bytes_;
};

}  // namespace linux_server
