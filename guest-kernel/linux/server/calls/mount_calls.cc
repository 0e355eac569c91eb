#include <asm/unistd.h>
#include <linux/magic.h>
#include <linux/mount.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/calls/path_support.h"
#include "guest-kernel/linux/server/files/tmpfs.h"
#include "guest-kernel/linux/server/mounts.h"
#include "guest-kernel/linux/server/process_table.h"

// mount(2) and umount2(2): file systems in memory can be put over directories, and taken away.
namespace linux_server {
namespace {

constexpr std::uint64_t kForce = 1;
constexpr std::uint64_t kDetach = 2;
constexpr std::uint64_t kExpire = 4;
constexpr std::uint64_t kNoFollow = 8;
constexpr std::uint64_t kPropagation = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE;

struct Options {
  std::uint32_t mode = 01777;
  std::uint32_t user = 0;
  std::uint32_t group = 0;
};

// A number in `base` that takes all of the text. Nothing: it is none.
std::optional<std::uint32_t> number_of(std::string_view text, std::uint32_t base) {
  std::uint32_t value = 0;
  for (const char digit : text) {
    if (digit < '0' || digit >= static_cast<char>('0' + base)) {
      return {};
    }
    value = value * base + static_cast<std::uint32_t>(digit - '0');
  }
  return text.empty() ? std::optional<std::uint32_t>() : value;
}

// One option of a file system in memory. False: it is not known.
bool take_option(std::string_view option, Options& options) {
  // How large it may become is a matter of all such files together.
  constexpr std::array<std::string_view, 6> kIgnored = {
      "size=", "nr_inodes=", "nr_blocks=", "huge=never", "inode64", "inode32"};
  const auto starts = [option](std::string_view known) { return option.starts_with(known); };
  if (option.empty() || std::any_of(kIgnored.begin(), kIgnored.end(), starts)) {
    return true;
  }
  const std::size_t sign = option.find('=');
  const std::string_view value =
      sign == std::string_view::npos ? std::string_view() : option.substr(sign + 1);
  const std::string_view key = option.substr(0, sign);
  const auto number = number_of(value, key == "mode" ? 8 : 10);
  if (!number || (key != "mode" && key != "uid" && key != "gid")) {
    return false;
  }
  std::uint32_t& to = key == "mode" ? options.mode : key == "uid" ? options.user : options.group;
  to = key == "mode" ? *number & kPermissionMask : *number;
  return true;
}

bool take_options(std::string_view text, Options& options) {
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    if (!take_option(text.substr(0, comma), options)) {
      return false;
    }
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  }
  return true;
}

// Whether a process has anything in the file system.
bool is_used_by(Process& process, std::uint32_t device) {
  const auto is_inside = [device](const Node* node) {
    return node != nullptr && node->device() == device;
  };
  if (is_inside(process.working_directory.get()) || is_inside(process.root_directory.get()) ||
      is_inside(process.executable.get())) {
    return true;
  }
  if (!process.has_memory()) {
    return false;
  }
  const DescriptorTable& table = process.descriptors();
  for (std::uint64_t number = 0; number < table.capacity(); ++number) {
    const Reference<File> file = table.find(number);
    if (file && is_inside(&file->node())) {
      return true;
    }
  }
  const SegmentMap& segments = process.space().segments();
  return std::any_of(segments.begin(), segments.end(),
                     [&](const Segment& segment) { return is_inside(segment.file); });
}

bool is_used(const Mount& mount) {
  const auto all = all_processes();
  return std::any_of(all.begin(), all.end(), [&mount](Process* each) {
    return each != nullptr && is_used_by(*each, mount.device);
  });
}

// Whether another file system lies over one of its directories.
bool is_covered(const Mount& mount) {
  const auto all = mounts();
  return std::any_of(all.begin(), all.end(), [&mount](const Mount& each) {
    return each.covered != nullptr && each.covered->device() == mount.device;
  });
}

bool has_writers(const Mount& mount) {
  const auto all = all_processes();
  return std::any_of(all.begin(), all.end(), [&mount](Process* each) {
    if (each == nullptr || !each->has_memory()) {
      return false;
    }
    const DescriptorTable& table = each->descriptors();
    for (std::uint64_t number = 0; number < table.capacity(); ++number) {
      const Reference<File> file = table.find(number);
      if (file && file->may_write() && file->node().device() == mount.device) {
        return true;
      }
    }
    return false;
  });
}

std::int64_t remount(Mount* mount, std::uint64_t flags) {
  const bool read_only = (flags & MS_RDONLY) != 0;
  if (mount == nullptr || (mount->device == kRootDevice && !read_only)) {
    return -EINVAL;
  }
  if (read_only && !mount->read_only && has_writers(*mount)) {
    return -EBUSY;
  }
  mount->read_only = read_only;
  return 0;
}

std::int64_t mount_memory(Task& task, Node& target, std::string_view options_text,
                          std::uint64_t flags) {
  Options options;
  options.user = task.process->credentials.user;
  options.group = task.process->credentials.group;
  if (!take_options(options_text, options)) {
    return -EINVAL;
  }
  if (!target.is_directory()) {
    return -ENOTDIR;
  }
  NewNode what;
  what.mode = kDirectory | options.mode;
  what.user = options.user;
  what.group = options.group;
  const Reference<Node> root = make_tmpfs(what);
  return root ? as_error(add_mount_over(target, *root, "tmpfs", "tmpfs", TMPFS_MAGIC,
                                        (flags & MS_RDONLY) != 0))
              : -ENOMEM;
}

// What a file system of a disk's says to its source, which is no disk that may be mounted here.
std::int64_t refuse_source(Task& task) {
  const auto source = find_node(task, kCurrentDirectory, task.arguments[0], true);
  if (!source) {
    return as_error(source);
  }
  return (*source)->type() == kBlockDevice ? -EBUSY : -ENOTBLK;
}

std::int64_t mount_new(Task& task, Node& target, std::string_view type, std::string_view options,
                       std::uint64_t flags) {
  constexpr std::array<std::string_view, 3> kOfDisks = {"ext2", "ext3", "ext4"};
  if (type == "tmpfs" || type == "ramfs") {
    return mount_memory(task, target, options, flags);
  }
  if (std::find(kOfDisks.begin(), kOfDisks.end(), type) != kOfDisks.end()) {
    return refuse_source(task);
  }
  // These are where they are, once.
  return type == "proc" || type == "sysfs" ? -EBUSY : -ENODEV;
}

// The string at `address`, which may be null. EFAULT, EINVAL.
Result<std::string_view> read_text(Task& task, std::uint64_t address, std::span<char> buffer) {
  if (address == 0) {
    return std::string_view();
  }
  const auto text = task.process->space().read_string(address, buffer);
  return !text && text.error().number == ENAMETOOLONG ? fail(EINVAL) : text;
}

std::int64_t call_mount(Task& task) {
  constexpr std::uint64_t kMagicMask = 0xffff'0000;
  constexpr std::uint64_t kMagic = 0xc0ed'0000;
  std::array<char, 64> type_buffer;
  std::array<char, 1024> option_buffer;
  std::array<char, kMaximumPath> source_buffer;
  const auto type = read_text(task, task.arguments[2], type_buffer);
  const auto source = read_text(task, task.arguments[0], source_buffer);
  const auto options = read_text(task, task.arguments[4], option_buffer);
  if (!type || !source || !options) {
    return !type ? as_error(type) : !source ? as_error(source) : as_error(options);
  }
  const auto target = find_node(task, kCurrentDirectory, task.arguments[1], true);
  if (!target) {
    return as_error(target);
  }
  if (!task.process->credentials.has(Capability::kAdministrate)) {
    return -EPERM;
  }
  std::uint64_t flags = task.arguments[3];
  flags = (flags & kMagicMask) == kMagic ? flags & ~kMagicMask : flags;
  if ((flags & MS_REMOUNT) != 0) {
    return remount(find_mount(**target), flags);
  }
  if ((flags & (MS_BIND | MS_MOVE)) != 0) {
    return -EINVAL;  // a directory has one place
  }
  if ((flags & kPropagation) != 0) {
    return find_mount(**target) != nullptr ? 0 : -EINVAL;
  }
  return task.arguments[2] == 0 ? -EINVAL : mount_new(task, **target, *type, *options, flags);
}

std::int64_t call_umount2(Task& task) {
  const std::uint64_t flags = static_cast<std::uint32_t>(task.arguments[1]);
  if ((flags & ~(kForce | kDetach | kExpire | kNoFollow)) != 0) {
    return -EINVAL;
  }
  const auto target =
      find_node(task, kCurrentDirectory, task.arguments[0], (flags & kNoFollow) == 0);
  if (!target) {
    return as_error(target);
  }
  if (!task.process->credentials.has(Capability::kAdministrate)) {
    return -EPERM;
  }
  Mount* mount = find_mount(**target);
  if (mount == nullptr || ((flags & kExpire) != 0 && (flags & (kForce | kDetach)) != 0)) {
    return -EINVAL;
  }
  if (mount->covered == nullptr || is_covered(*mount) ||
      ((flags & kDetach) == 0 && is_used(*mount))) {
    return -EBUSY;
  }
  if ((flags & kExpire) != 0 && !std::exchange(mount->expires, true)) {
    return -EAGAIN;
  }
  remove_mount(*mount);
  clear_tmpfs(**target);
  return 0;
}

constexpr CallEntry kCalls[] = {
    {__NR_mount, call_mount},
    {__NR_umount2, call_umount2},
};

}  // namespace

std::span<const CallEntry> mount_calls() {
  return kCalls;
}

}  // namespace linux_server
