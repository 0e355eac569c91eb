#pragma once

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "guest-kernel/ext4/volume.h"
#include "tests/guest-kernel/ext4/recording_disk.h"

namespace ext4 {

inline constexpr std::int64_t kNow = 1'700'000'000'123'456'789;
inline constexpr std::array<std::byte, 16> kRandom = {std::byte{7}, std::byte{9}};

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// Writes all, or fails.
inline int write_bytes(Volume& volume, ext2_ino_t file, std::uint64_t offset,
                       std::span<const std::byte> bytes) {
  std::uint64_t done = 0;
  const int failed = volume.write(file, offset, bytes, done);
  return failed == 0 && done != bytes.size() ? ENOSPC : failed;
}

// A volume with the memory that it needs.
class MountedVolume {
 public:
  explicit MountedVolume(Disk& disk, std::size_t memory = 4 * 1024 * 1024)
      : memory_(memory), volume_(disk, memory_), result_(volume_.mount(kNow, kRandom)) {}
  int result() const { return result_; }
  Volume* operator->() { return &volume_; }
  Volume& operator*() { return volume_; }

 private:
  std::vector<std::byte> memory_;
  Volume volume_;
  int result_;
};

struct FoundEntry {
  InodeRecord inode;
  std::string name;
};

inline std::vector<FoundEntry> list_all(Volume& volume, std::uint32_t directory) {
  std::vector<FoundEntry> found;
  std::vector<std::byte> buffer(4096);
  std::uint64_t position = 0;
  for (;;) {
    std::uint64_t used = 0;
    volume.begin_request(kNow);
    if (volume.list(directory, position, buffer, used) != 0 || used == 0) {
      return found;
    }
    for (std::uint64_t at = 0; at < used;) {
      DirectoryRecord record;
      std::memcpy(&record, buffer.data() + at, sizeof(record));
      found.push_back(
          {record.inode,
           {reinterpret_cast<const char*>(buffer.data() + at + sizeof(record)), record.name_size}});
      at += (sizeof(record) + record.name_size + 7) & ~std::uint64_t{7};
    }
  }
}

// Everything in a directory and below: path → what it is, its mode and bytes.
inline void describe_tree(Volume& volume, std::uint32_t directory, const std::string& path,
                          std::map<std::string, std::string>& tree) {
  for (const FoundEntry& entry : list_all(volume, directory)) {
    const std::string name = path + "/" + entry.name;
    std::string text = std::to_string(entry.inode.mode) + " " + std::to_string(entry.inode.links);
    if ((entry.inode.mode & 0170000) == 0100000) {
      std::string bytes(entry.inode.size, '?');
      volume.begin_request(kNow);
      const int failed =
          volume.read(entry.inode.inode, 0, std::as_writable_bytes(std::span(bytes)));
      text += " " + std::to_string(failed) + " " + bytes;
    }
    tree[name] = text;
    if ((entry.inode.mode & 0170000) == 0040000) {
      describe_tree(volume, entry.inode.inode, name, tree);
    }
  }
}

inline std::map<std::string, std::string> tree_of(Volume& volume) {
  std::map<std::string, std::string> tree;
  describe_tree(volume, kRootInode, "", tree);
  return tree;
}

inline std::string work_file(const std::string& name) {
  return (std::filesystem::temp_directory_path() / ("ensemble-" + std::to_string(getpid()) + name))
      .string();
}

inline void save(const std::vector<std::byte>& image, const std::string& path) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(image.data()),
             static_cast<std::streamsize>(image.size()));
}

inline std::vector<std::byte> load(const std::string& path) {
  std::vector<std::byte> image(std::filesystem::file_size(path));
  std::ifstream(path, std::ios::binary)
      .read(reinterpret_cast<char*>(image.data()), static_cast<std::streamsize>(image.size()));
  return image;
}

struct CommandResult {
  int code = -1;
  std::string output;
};

inline CommandResult run_command(const std::string& command) {
  CommandResult result;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  char buffer[512];
  while (pipe != nullptr && std::fgets(buffer, sizeof(buffer), pipe) != nullptr) {
    result.output += buffer;
  }
  const int status = pipe == nullptr ? -1 : pclose(pipe);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

// What `e2fsck OPTIONS` says of an image.
inline CommandResult check_image(const std::vector<std::byte>& image,
                                 const std::string& options = "-fn") {
  const std::string path = work_file(".ext4");
  save(image, path);
  const CommandResult result = run_command("e2fsck " + options + " " + path);
  std::filesystem::remove(path);
  return result;
}

}  // namespace ext4
