#include <asm/fcntl.h>
#include <asm/unistd.h>
#include <linux/inotify.h>
#include <linux/memfd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/calls/path_support.h"
#include "guest-kernel/linux/server/files/inotify_file.h"
#include "guest-kernel/linux/server/files/tmpfs.h"

// Calls that make files without a place: inotify's, and those in memory.
namespace linux_server {
namespace {

// What tells inotify's files from others.
class InotifyNode : public Node {
 public:
  InotifyNode() : Node("anon_inode:inotify", 0600) {}
};

std::int64_t make_inotify(Task& task, std::uint32_t flags) {
  if ((flags & ~std::uint32_t{IN_CLOEXEC | IN_NONBLOCK}) != 0) {
    return -EINVAL;
  }
  auto* node = new (std::nothrow) InotifyNode();
  const Reference<Node> share(node);
  if (!share) {
    return -ENOMEM;
  }
  const Reference<File> file(new InotifyFile(*node, (flags & O_NONBLOCK)));
  return file ? task.process->descriptors().add(file, (flags & IN_CLOEXEC) != 0) : -ENOMEM;
}
std::int64_t call_inotify_init(Task& task) {
  return make_inotify(task, 0);
}
std::int64_t call_inotify_init1(Task& task) {
  return make_inotify(task, static_cast<std::uint32_t>(task.arguments[0]));
}

// The instance behind a descriptor. EBADF, EINVAL.
std::int64_t find_instance(Task& task, Reference<File>& file, InotifyFile*& instance) {
  file = file_of(task, task.arguments[0]);
  if (!file) {
    return -EBADF;
  }
  instance = file->inotify();
  return instance != nullptr ? 0 : -EINVAL;
}

std::int64_t call_inotify_add_watch(Task& task) {
  constexpr std::uint32_t kKnown = IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED |
                                   IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_ADD |
                                   IN_MASK_CREATE | IN_ISDIR | IN_ONESHOT;
  const auto mask = static_cast<std::uint32_t>(task.arguments[2]);
  if ((mask & kKnown) == 0) {
    return -EINVAL;
  }
  Reference<File> file;
  InotifyFile* instance = nullptr;
  const std::int64_t error = find_instance(task, file, instance);
  if (error == -EBADF) {
    return error;
  }
  if ((mask & (IN_MASK_ADD | IN_MASK_CREATE)) == (IN_MASK_ADD | IN_MASK_CREATE)) {
    return -EINVAL;
  }
  if (error != 0) {
    return error;
  }
  const auto node =
      find_node(task, kCurrentDirectory, task.arguments[1], (mask & IN_DONT_FOLLOW) == 0);
  if (!node) {
    return as_error(node);
  }
  if ((mask & IN_ONLYDIR) != 0 && !(*node)->is_directory()) {
    return -ENOTDIR;
  }
  return is_allowed(task, **node, kMayRead) ? instance->add_watch(**node, mask) : -EACCES;
}

std::int64_t call_inotify_rm_watch(Task& task) {
  Reference<File> file;
  InotifyFile* instance = nullptr;
  const std::int64_t error = find_instance(task, file, instance);
  return error != 0 ? error : instance->remove_watch(static_cast<std::int32_t>(task.arguments[1]));
}

std::int64_t call_memfd_create(Task& task) {
  constexpr std::string_view kPrefix = "/memfd:";
  constexpr std::size_t kMaximumSize = 249;
  constexpr std::uint32_t kNotExecutable = 8;  // MFD_NOEXEC_SEAL
  constexpr std::uint32_t kExecutable = 16;    // MFD_EXEC
  const auto flags = static_cast<std::uint32_t>(task.arguments[1]);
  if ((flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING | kNotExecutable | kExecutable)) != 0 ||
      (flags & (kNotExecutable | kExecutable)) == (kNotExecutable | kExecutable)) {
    return -EINVAL;
  }
  std::array<char, kPrefix.size() + kMaximumSize + 1> name;
  std::copy(kPrefix.begin(), kPrefix.end(), name.begin());
  const auto text =
      task.process->space().read_string(task.arguments[0], std::span(name).subspan(kPrefix.size()));
  if (!text) {
    return text.error().number == ENAMETOOLONG ? -EINVAL : as_error(text);
  }
  NewNode what;
  what.mode = kRegularFile | ((flags & kNotExecutable) != 0 ? 0666 : 0777);
  what.user = task.process->credentials.user;
  what.group = task.process->credentials.group;
  const auto memory = make_memory_file({name.data(), kPrefix.size() + text->size()}, what);
  if (!memory) {
    return as_error(memory);
  }
  if ((flags & (MFD_ALLOW_SEALING | kNotExecutable)) != 0) {
    (*memory)->set_seals(0);
  }
  const auto file = (*memory)->open(O_RDWR | O_LARGEFILE, *task.process);
  return file ? task.process->descriptors().add(*file, (flags & MFD_CLOEXEC) != 0) : as_error(file);
}

constexpr CallEntry kCalls[] = {
    {__NR_inotify_init, call_inotify_init},
    {__NR_inotify_init1, call_inotify_init1},
    {__NR_inotify_add_watch, call_inotify_add_watch},
    {__NR_inotify_rm_watch, call_inotify_rm_watch},
    {__NR_memfd_create, call_memfd_create},
};

}  // namespace

std::span<const CallEntry> watch_calls() {
  return kCalls;
}

}  // namespace linux_server
