#include <asm/unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/calls/path_support.h"
#include "guest-kernel/linux/server/extended_attributes.h"
#include "guest-kernel/linux/server/mounts.h"
#include "guest-kernel/linux/server/notify.h"

// Extended attributes: files in memory and those of the disk keep them.
namespace linux_server {
namespace {

constexpr std::size_t kLongestName = 255;

// Which file a call means: by path, by path without following a link at its end, by descriptor.
enum class Subject : std::uint8_t { kPath, kLink, kDescriptor };

constexpr std::uint64_t kLargest = 65536;  // bytes of a value

Result<Reference<Node>> find_subject(Task& task, Subject subject) {
  if (subject != Subject::kDescriptor) {
    return find_node(task, kCurrentDirectory, task.arguments[0], subject == Subject::kPath);
  }
  const Reference<File> file = file_of(task, task.arguments[0]);
  return file ? Result<Reference<Node>>(Reference<Node>(&file->node())) : fail(EBADF);
}

struct AttributeName {
  std::array<char, kLongestName + 1> buffer;
  std::string_view text;
};

Result<void> read_name(Task& task, AttributeName& name) {
  const auto text = task.process->space().read_string(task.arguments[1], name.buffer);
  if (!text) {
    return fail(text.error().number == ENAMETOOLONG ? ERANGE : EFAULT);
  }
  if (text->empty()) {
    return fail(ERANGE);
  }
  name.text = *text;
  return {};
}

// Bytes between a program and a node. None where memory is short.
class Scratch {
 public:
  explicit Scratch(std::uint64_t size)
      : size_(size),
        memory_(size == 0 ? nullptr : static_cast<std::byte*>(::operator new(size, std::nothrow))) {
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (memory_ != nullptr) {
      ::operator delete(memory_, size_);
    }
  }
  bool failed() const { return size_ != 0 && memory_ == nullptr; }
  std::span<std::byte> bytes() const { return {memory_, memory_ == nullptr ? 0 : size_}; }

 private:
  std::uint64_t size_;
  std::byte* memory_;
};

bool may_administrate(const Task& task) {
  return task.process->credentials.has(Capability::kAdministrate);
}

// Who may do what with attributes of the name's class: xattr(7).
int judge(Task& task, const Node& node, std::string_view name, bool writes) {
  if (writes && is_read_only(node)) {
    return EROFS;
  }
  if (name.starts_with("trusted.")) {
    return may_administrate(task) ? 0 : writes ? EPERM : ENODATA;
  }
  if (name.starts_with("security.")) {
    return !writes || may_administrate(task) ? 0 : EPERM;
  }
  if (name.starts_with("user.")) {
    if (node.type() != kRegularFile && !node.is_directory()) {
      return writes ? EPERM : ENODATA;
    }
    const bool is_sticky = (node.attributes(task.process).mode & kSticky) != 0;
    if (writes && node.is_directory() && is_sticky && !is_owner(task, node)) {
      return EPERM;
    }
  }
  return is_allowed(task, node, writes ? kMayWrite : kMayRead) ? 0 : EACCES;
}

// The node's attributes, where it keeps any of the name's class.
Result<AttributeStore*> find_store(Node& node, std::string_view name) {
  AttributeStore* store = node.extended_attributes();
  const bool is_known =
      name.starts_with("user.") || name.starts_with("trusted.") || name.starts_with("security.");
  if (store == nullptr || !is_known) {
    return fail(EOPNOTSUPP);
  }
  return name.ends_with('.') && name.find('.') == name.size() - 1
             ? Result<AttributeStore*>(fail(EINVAL))
             : store;
}

// Gives `size` bytes to the program, at the address that is argument `place`. ERANGE: they are more
// than were taken.
std::int64_t give(Task& task, std::size_t place, std::span<const std::byte> bytes,
                  std::uint64_t size) {
  if (size > bytes.size()) {
    return -ERANGE;
  }
  return task.process->space().write(task.arguments[place], bytes.first(size))
             ? static_cast<std::int64_t>(size)
             : -EFAULT;
}

// What a change ends with.
std::int64_t note_change(Node& node, const Result<void>& changed) {
  if (changed) {
    static_cast<void>(node.change({}));
    notify(node, NodeEvent::kAttributesChanged);
  }
  return as_error(changed);
}

std::int64_t get(Task& task, Subject subject) {
  AttributeName name;
  if (const auto read = read_name(task, name); !read) {
    return as_error(read);
  }
  const auto node = find_subject(task, subject);
  if (!node) {
    return as_error(node);
  }
  if (const int refused = judge(task, **node, name.text, false)) {
    return -refused;
  }
  const std::uint64_t room = std::min(task.arguments[3], kLargest);
  const Scratch scratch(room);
  if (scratch.failed()) {
    return -ENOMEM;
  }
  const auto store = find_store(**node, name.text);
  const bool is_absent = name.text.starts_with("trusted.") || name.text.starts_with("security.");
  if (!store) {
    return is_absent && store.error().number == EOPNOTSUPP ? -ENODATA : as_error(store);
  }
  const auto size = (*store)->get(name.text, scratch.bytes());
  if (!size) {
    return as_error(size);
  }
  return room == 0 ? static_cast<std::int64_t>(*size) : give(task, 2, scratch.bytes(), *size);
}

std::int64_t set(Task& task, Subject subject) {
  constexpr std::uint32_t kCreate = 1;
  constexpr std::uint32_t kReplace = 2;
  const auto flags = static_cast<std::uint32_t>(task.arguments[4]);
  if ((flags & ~(kCreate | kReplace)) != 0) {
    return -EINVAL;
  }
  AttributeName name;
  if (const auto read = read_name(task, name); !read) {
    return as_error(read);
  }
  if (task.arguments[3] > kLargest) {
    return -E2BIG;
  }
  const Scratch value(task.arguments[3]);
  if (value.failed()) {
    return -ENOMEM;
  }
  if (!value.bytes().empty() && !task.process->space().read(task.arguments[2], value.bytes())) {
    return -EFAULT;
  }
  const auto node = find_subject(task, subject);
  if (!node) {
    return as_error(node);
  }
  if (const int refused = judge(task, **node, name.text, true)) {
    return -refused;
  }
  const auto store = find_store(**node, name.text);
  if (!store) {
    return as_error(store);
  }
  if (flags != 0) {
    const auto old = (*store)->get(name.text, {});
    if (!old && old.error().number != ENODATA) {
      return as_error(old);
    }
    if (old ? (flags & kCreate) != 0 : (flags & kReplace) != 0) {
      return old ? -EEXIST : -ENODATA;
    }
  }
  return note_change(**node, (*store)->set(name.text, value.bytes()));
}

std::int64_t remove(Task& task, Subject subject) {
  AttributeName name;
  if (const auto read = read_name(task, name); !read) {
    return as_error(read);
  }
  const auto node = find_subject(task, subject);
  if (!node) {
    return as_error(node);
  }
  if (const int refused = judge(task, **node, name.text, true)) {
    return -refused;
  }
  const auto store = find_store(**node, name.text);
  return store ? note_change(**node, (*store)->remove(name.text)) : as_error(store);
}

// Takes out what only an administrator sees. The size of what is left.
std::uint64_t hide_trusted(std::span<std::byte> names) {
  auto* const text = reinterpret_cast<char*>(names.data());
  std::uint64_t kept = 0;
  for (std::uint64_t at = 0; at < names.size();) {
    const std::string_view name(text + at);
    if (!name.starts_with("trusted.")) {
      std::memmove(text + kept, name.data(), name.size() + 1);
      kept += name.size() + 1;
    }
    at += name.size() + 1;
  }
  return kept;
}

std::int64_t list(Task& task, Subject subject) {
  const auto node = find_subject(task, subject);
  if (!node) {
    return as_error(node);
  }
  AttributeStore* store = (*node)->extended_attributes();
  if (store == nullptr) {
    return 0;
  }
  auto size = store->list({});
  if (!size || *size == 0) {
    return as_error(size);
  }
  const Scratch scratch(*size);
  if (scratch.failed()) {
    return -ENOMEM;
  }
  size = store->list(scratch.bytes());
  if (!size || *size > scratch.bytes().size()) {
    return size ? -EIO : as_error(size);
  }
  // The end of the last name is there, whatever the disk says.
  scratch.bytes().back() = std::byte{0};
  const std::uint64_t seen = may_administrate(task) ? *size : hide_trusted(scratch.bytes());
  const std::uint64_t room = task.arguments[2];
  return room == 0 ? static_cast<std::int64_t>(seen)
                   : give(task, 1, scratch.bytes().first(std::min(room, seen)), seen);
}

constexpr CallEntry kCalls[] = {
    {__NR_getxattr, [](Task& task) { return get(task, Subject::kPath); }},
    {__NR_lgetxattr, [](Task& task) { return get(task, Subject::kLink); }},
    {__NR_fgetxattr, [](Task& task) { return get(task, Subject::kDescriptor); }},
    {__NR_setxattr, [](Task& task) { return set(task, Subject::kPath); }},
    {__NR_lsetxattr, [](Task& task) { return set(task, Subject::kLink); }},
    {__NR_fsetxattr, [](Task& task) { return set(task, Subject::kDescriptor); }},
    {__NR_removexattr, [](Task& task) { return remove(task, Subject::kPath); }},
    {__NR_lremovexattr, [](Task& task) { return remove(task, Subject::kLink); }},
    {__NR_fremovexattr, [](Task& task) { return remove(task, Subject::kDescriptor); }},
    {__NR_listxattr, [](Task& task) { return list(task, Subject::kPath); }},
    {__NR_llistxattr, [](Task& task) { return list(task, Subject::kLink); }},
    {__NR_flistxattr, [](Task& task) { return list(task, Subject::kDescriptor); }},
};

}  // namespace

std::span<const CallEntry> extended_attribute_calls() {
  return kCalls;
}

}  // namespace linux_server
