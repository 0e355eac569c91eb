#include "guest-kernel/linux/server/files/device_files.h"

#include <asm/fcntl.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <new>

#include "guest-kernel/linux/server/files/clock_device.h"
#include "guest-kernel/linux/server/files/host_port.h"
#include "guest-kernel/linux/server/files/input_device.h"
#include "guest-kernel/linux/server/files/tmpfs.h"
#include "guest-kernel/linux/server/ipc/pseudo_terminal.h"
#include "guest-kernel/linux/server/server.h"
#include "guest-kernel/linux/shim/layout.h"

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
  std::uint8_t shim_kind() const override {
    unsigned kinds = 0;
    if (may_read()) {
      kinds |= kind_ == Kind::kNull ? shim::kReadsNothing : shim::kReadsZeroes;
    }
    if (may_write() && kind_ != Kind::kFull) {
      kinds |= shim::kSwallows;
    }
    return static_cast<std::uint8_t>(kinds);
  }

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

struct Description {
  std::string_view name;
  std::uint32_t number;
};

constexpr std::uint32_t kNull = device_number(1, 3);
constexpr std::uint32_t kZero = device_number(1, 5);
constexpr std::uint32_t kFull = device_number(1, 7);
constexpr std::uint32_t kRandom = device_number(1, 8);
constexpr std::uint32_t kUrandom = device_number(1, 9);
constexpr std::uint32_t kTerminal = device_number(5, 0);
constexpr std::uint32_t kConsole = device_number(5, 1);
constexpr std::uint32_t kMaster = device_number(5, 2);

constexpr Description kDevices[] = {
    {"null", kNull},       {"zero", kZero},    {"full", kFull},       {"random", kRandom},
    {"urandom", kUrandom}, {"tty", kTerminal}, {"console", kConsole}, {"ptmx", kMaster},
};

File* make_file(Node& node, std::uint32_t flags, std::uint32_t number) {
  switch (number) {
    case kNull:
      return new ZeroFile(node, flags, ZeroFile::Kind::kNull);
    case kZero:
      return new ZeroFile(node, flags, ZeroFile::Kind::kZero);
    case kFull:
      return new ZeroFile(node, flags, ZeroFile::Kind::kFull);
    case kRandom:
    case kUrandom:
      return new RandomFile(node, flags);
    default:
      return nullptr;
  }
}

bool is_known(std::uint32_t number) {
  return std::any_of(std::begin(kDevices), std::end(kDevices),
                     [&](const Description& each) { return each.number == number; }) ||
         number == kHostPortDevice || number == kClockDevice || is_input_device(number);
}

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

Result<Reference<File>> open_special(Node& node, std::uint32_t flags, Process& opener) {
  const std::uint32_t number = node.attributes(nullptr).device_number;
  if (node.type() != kCharacterDevice || !is_known(number)) {
    return fail(ENXIO);
  }
  if (is_input_device(number)) {
    return open_input_file(node, flags & ~std::uint32_t{O_NOCTTY}, number);
  }
  switch (number) {
    case kTerminal:
      return open_controlling_terminal(node, flags, opener);
    case kConsole:
      return open_console(node, flags, opener);
    case kMaster:
      return open_terminal_master(node, flags);
    case kClockDevice:
      return open_clock(node, flags & ~std::uint32_t{O_NOCTTY});
    case kHostPortDevice:
      return open_host_port(node, flags & ~std::uint32_t{O_NOCTTY});
    default:
      break;
  }
  File* file = make_file(node, flags & ~std::uint32_t{O_NOCTTY}, number);
  return file == nullptr ? Result<Reference<File>>(fail(ENOMEM)) : Reference<File>(file);
}

bool add_device_files(Directory& root) {
  TmpfsDirectory* directory = mount_tmpfs(root, "/dev", "devtmpfs", 0755);
  if (directory == nullptr) {
    return false;
  }
  for (const Description& device : kDevices) {
    NewNode what;
    what.mode = kCharacterDevice | 0666;
    what.device_number = device.number;
    if (!directory->create(device.name, what)) {
      return false;
    }
  }
  for (const Link& link : kLinks) {
    NewNode what;
    what.mode = kSymbolicLink | 0777;
    what.target = link.target;
    if (!directory->create(link.name, what)) {
      return false;
    }
  }
  return add_terminal_directory(*directory) && add_host_port(*directory) &&
         add_input_files(*directory) && add_clock_nodes(*directory);
}

}  // namespace linux_server
