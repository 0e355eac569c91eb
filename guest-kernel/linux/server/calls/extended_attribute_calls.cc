#include <asm/unistd.h>

#include <array>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/calls/path_support.h"

// Extended attributes: no file system here keeps any, and says so as Linux's do that do not.
namespace linux_server {
namespace {

constexpr std::size_t kLongestName = 255;

// Which file a call means: by path, by path without following a link at its end, by descriptor.
enum class Subject : std::uint8_t { kPath, kLink, kDescriptor };

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

bool is_for_trusted(std::string_view name) {
  return name.starts_with("trusted.");
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
  const bool may_exist = is_for_trusted(name.text) || name.text.starts_with("security.");
  return may_exist ? -ENODATA : -EOPNOTSUPP;
}

std::int64_t set(Task& task, Subject subject) {
  constexpr std::uint32_t kKnownFlags = 3;  // XATTR_CREATE, XATTR_REPLACE
  constexpr std::uint64_t kLargest = 65536;
  if ((static_cast<std::uint32_t>(task.arguments[4]) & ~kKnownFlags) != 0) {
    return -EINVAL;
  }
  AttributeName name;
  if (const auto read = read_name(task, name); !read) {
    return as_error(read);
  }
  if (task.arguments[3] > kLargest) {
    return -E2BIG;
  }
  std::byte first = {};
  if (task.arguments[3] != 0 &&
      !task.process->space().read(task.arguments[2], std::span(&first, 1))) {
    return -EFAULT;
  }
  const auto node = find_subject(task, subject);
  if (!node) {
    return as_error(node);
  }
  return is_for_trusted(name.text) && !task.process->credentials.has(Capability::kAdministrate)
             ? -EPERM
             : -EOPNOTSUPP;
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
  if (is_for_trusted(name.text)) {
    return task.process->credentials.has(Capability::kAdministrate) ? -ENODATA : -EPERM;
  }
  return name.text.starts_with("security.") ? -ENODATA : -EOPNOTSUPP;
}

std::int64_t list(Task& task, Subject subject) {
  return as_error(find_subject(task, subject));
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
