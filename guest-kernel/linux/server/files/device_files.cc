#include "guest-kernel/linux/server/files/device_files.h"

#include <asm/fcntl.h>

#include <cstring>
#include <new>

#include "guest-kernel/linux/server/files/console_file.h"
#include "guest-kernel/linux/server/files/link_node.h"
#include "guest-kernel/linux/server/server.h"

namespace linux_server {
namespace {

constexpr std::uint32_t device_number(std::uint32_t major, std::uint32_t minor) {
  return major << 8 | minor;
}

// /dev/null, /dev/zero, /dev/full: nothing is ever written anywhere.
class ZeroFile : public File {
 public:
  enum class Kind : std::uint8_t { kNull, kZero, kFull };

  ZeroFile(Node& node, std::uint32_t flags, Kind kind) : File(node, flags), kind_(kind) {}

  std::int64_t read(Task& /*task*/, const UserBuffer& buffer, std::uint64_t /*offset*/) override {
    if (kind_ == Kind::kNull) {
      return 0;
    }
    std::uint64_t done = 0;
    while (done < buffer.size()) {
      const std::span<std::byte> piece = buffer.piece(done, Access::kWrite);
      if (piece.empty()) {
        return done != 0 ? static_cast<std::int64_t>(done) : -EFAULT;
      }
      std::memset(piece.data(), 0, piece.size());
      done += piece.size();
    }
    return static_cast<std::int64_t>(done);
  }
  std::int64_t write(Task& /*task*/, const UserBuffer& buffer, std::uint64_t /*offset*/) override {
    return kind_ == Kind::kFull ? -ENOSPC : static_cast<std::int64_t>(buffer.size());
  }
  std::int64_t write_bytes(Task& /*task*/, std::span<const std::byte> bytes) override {
    return kind_ == Kind::kFull ? -ENOSPC : static_cast<std::int64_t>(bytes.size());
  }
  bool maps_zeroes() const override { return kind_ == Kind::kZero; }

 private:
  Kind kind_;
};

class RandomFile : public File {
 public:
  using File::File;
  std::int64_t read(Task& /*task*/, const UserBuffer& buffer, std::uint64_t /*offset*/) override {
    return server().random().fill_user(buffer);
  }
  // Writing mixes nothing in: a program's bytes are worth no entropy.
  std::int64_t write(Task& /*task*/, const UserBuffer& buffer, std::uint64_t /*offset*/) override {
    return static_cast<std::int64_t>(buffer.size());
  }
};

enum class DeviceKind : std::uint8_t { kNull, kZero, kFull, kRandom, kConsole };

class DeviceNode : public Node {
 public:
  DeviceNode(std::string_view name, DeviceKind kind, std::uint32_t number)
      : Node(name, kCharacterDevice | 0666), kind_(kind) {
    attributes_.device = kVirtualDevice;
    attributes_.device_number = number;
  }

  Result<Reference<File>> open(std::uint32_t flags, Process& /*opener*/) override {
    File* file = make(flags);
    return file == nullptr ? Result<Reference<File>>(fail(ENOMEM)) : Reference<File>(file);
  }

 private:
  File* make(std::uint32_t flags) {
    switch (kind_) {
      case DeviceKind::kNull:
        return new ZeroFile(*this, flags, ZeroFile::Kind::kNull);
      case DeviceKind::kZero:
        return new ZeroFile(*this, flags, ZeroFile::Kind::kZero);
      case DeviceKind::kFull:
        return new ZeroFile(*this, flags, ZeroFile::Kind::kFull);
      case DeviceKind::kRandom:
        return new RandomFile(*this, flags);
      case DeviceKind::kConsole:
        return new ConsoleFile(*this, flags);
    }
    return nullptr;
  }

  DeviceKind kind_;
};

struct Description {
  std::string_view name;
  DeviceKind kind;
  std::uint32_t number;
};

constexpr Description kDevices[] = {
    {"null", DeviceKind::kNull, device_number(1, 3)},
    {"zero", DeviceKind::kZero, device_number(1, 5)},
    {"full", DeviceKind::kFull, device_number(1, 7)},
    {"random", DeviceKind::kRandom, device_number(1, 8)},
    {"urandom", DeviceKind::kRandom, device_number(1, 9)},
    {"tty", DeviceKind::kConsole, device_number(5, 0)},
    {"console", DeviceKind::kConsole, device_number(5, 1)},
};

struct Link {
  std::string_view name;
  std::string_view target;
};

constexpr Link kLinks[] = {
    {"fd", "/proc/self/fd"},
    {"stdin", "/proc/self/fd/0"},
    {"stdout", "/proc/self/fd/1"},
    {"stderr", "/proc/self/fd/2"},
};

}  // namespace

bool add_device_files(Node& root) {
  auto* directory = new Directory("dev");
  if (directory == nullptr) {
    return false;
  }
  root.add_child(*directory);
  for (const Description& device : kDevices) {
    auto* node = new DeviceNode(device.name, device.kind, device.number);
    if (node == nullptr) {
      return false;
    }
    directory->add_child(*node);
  }
  for (const Link& link : kLinks) {
    auto* node = new LinkNode(link.name, link.target);
    if (node == nullptr) {
      return false;
    }
    directory->add_child(*node);
  }
  return true;
}

}  // namespace linux_server
