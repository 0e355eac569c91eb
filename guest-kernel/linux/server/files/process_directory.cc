#include "guest-kernel/linux/server/files/process_directory.h"

#include <asm/fcntl.h>

#include <algorithm>
#include <array>
#include <new>

#include "guest-kernel/linux/server/files/process_text.h"
#include "guest-kernel/linux/server/files/text_file.h"
#include "guest-kernel/linux/server/inspection.h"
#include "guest-kernel/linux/server/mounts.h"
#include "guest-kernel/linux/server/path.h"
#include "guest-kernel/linux/server/server.h"

namespace linux_server {
namespace {

// Positions of entries in a listing: after "." and "..".
constexpr std::uint64_t kFirstPosition = 3;
// Numbers of nodes: each process has a range of its own, far from the other nodes'.
constexpr std::uint64_t kInodeBase = std::uint64_t{1} << 32;
constexpr std::uint64_t kInodesPerProcess = std::uint64_t{1} << 22;
constexpr std::uint64_t kDescriptorInodes = 1024;
constexpr std::uint64_t kInformationInodes = kDescriptorInodes + DescriptorTable::kMaximum;
constexpr std::uint64_t kTaskInodes = kInformationInodes + DescriptorTable::kMaximum;

std::uint64_t inode_of(std::uint32_t id, std::uint64_t index) {
  return kInodeBase + id * kInodesPerProcess + index;
}

Name name_of(std::uint64_t number) {
  std::array<char, 24> digits;
  guest::TextWriter text(digits);
  text.decimal(number);
  return Name::copy(text.view());
}

// What `name` says in decimal, without leading zeroes; `limit`: it does not.
std::uint64_t number_of(std::string_view name, std::uint64_t limit) {
  std::uint64_t number = 0;
  for (const char digit : name) {
    if (digit < '0' || digit > '9' || (number == 0 && name.size() > 1 && name.front() == '0')) {
      return limit;
    }
    number = number * 10 + static_cast<std::uint64_t>(digit - '0');
    if (number >= limit) {
      return limit;
    }
  }
  return name.empty() ? limit : number;
}

void fill_number(DirectoryItem& item, std::uint64_t number, std::uint32_t type) {
  guest::TextWriter text(item.storage);
  text.decimal(number);
  item.name = text.view();
  item.type = type;
  item.position = number + kFirstPosition;
}

// Puts a new node in its place. Null stays null.
Reference<Node> placed(Node* node, Node& parent) {
  const Reference<Node> share(node);
  if (node != nullptr) {
    node->set_place(node->shared_name(), &parent);
  }
  return share;
}

// A link to a file or directory that the process has.
class ProcessLink : public Node {
 public:
  enum class Target : std::uint8_t { kExecutable, kWorkingDirectory, kRoot };

  ProcessLink(std::string_view name, Target target, std::uint32_t id, std::uint64_t inode)
      : Node(name, kSymbolicLink | 0777), target_(target), id_(id) {
    attributes_.device = kProcDevice;
    attributes_.inode = inode;
  }

  Attributes attributes(const Process* viewer) const override {
    Attributes attributes = Node::attributes(viewer);
    set_inspected_owner(attributes, viewer, id_);
    return attributes;
  }
  Result<Reference<Node>> follow(Process* viewer) override { return node(viewer); }
  Result<std::string_view> read_link(std::span<char> buffer, const Process* viewer) const override {
    const auto found = node(viewer);
    return found ? (*found)->path_and_state(buffer)
                 : Result<std::string_view>(std::unexpected(found.error()));
  }

 private:
  Result<Reference<Node>> node(const Process* viewer) const {
    const Process* process = server().find_process(id_);
    if (process == nullptr) {
      return fail(ESRCH);
    }
    if (!may_inspect(viewer, *process)) {
      return fail(EACCES);
    }
    const Reference<Node> found = target_ == Target::kRoot ? Reference<Node>(&root_of(*process))
                                  : target_ == Target::kExecutable ? process->executable
                                                                   : process->working_directory;
    return found ? Result<Reference<Node>>(found) : fail(ENOENT);
  }

  Target target_;
  std::uint32_t id_;
};

Reference<File> file_of(std::uint32_t id, std::uint64_t number) {
  Process* process = server().find_process(id);
  return process == nullptr || !process->has_memory() ? Reference<File>()
                                                      : process->descriptors().find(number);
}

// For those who may look into the process.
Result<Reference<File>> file_for(const Process* viewer, std::uint32_t id, std::uint64_t number) {
  const Process* process = server().find_process(id);
  if (process != nullptr && !may_inspect(viewer, *process)) {
    return fail(EACCES);
  }
  const Reference<File> file = file_of(id, number);
  return file ? Result<Reference<File>>(file) : fail(ENOENT);
}

// /proc/ID/fd/NUMBER
class DescriptorLink : public Node {
 public:
  DescriptorLink(Name name, const File& file, std::uint32_t id, std::uint64_t number)
      : Node(std::move(name), kSymbolicLink), id_(id), number_(number) {
    attributes_.device = kProcDevice;
    attributes_.inode = inode_of(id, kDescriptorInodes + number);
    attributes_.mode |= (file.may_read() ? 0500u : 0u) | (file.may_write() ? 0300u : 0u);
  }
  std::uint64_t size() const override { return 64; }

  Attributes attributes(const Process* viewer) const override {
    Attributes attributes = Node::attributes(viewer);
    set_inspected_owner(attributes, viewer, id_);
    return attributes;
  }
  Result<Reference<Node>> follow(Process* viewer) override {
    const auto file = file_for(viewer, id_, number_);
    return file ? Result<Reference<Node>>(Reference<Node>(&(*file)->node()))
                : std::unexpected(file.error());
  }
  Result<std::string_view> read_link(std::span<char> buffer, const Process* viewer) const override {
    const auto file = file_for(viewer, id_, number_);
    return file ? Result<std::string_view>((*file)->node().path_and_state(buffer))
                : std::unexpected(file.error());
  }

 private:
  std::uint32_t id_;
  std::uint64_t number_;
};

// /proc/ID/fdinfo/NUMBER
class DescriptorText : public Node {
 public:
  DescriptorText(Name name, std::uint32_t id, std::uint64_t number)
      : Node(std::move(name), kRegularFile | 0444), id_(id), number_(number) {
    attributes_.device = kProcDevice;
    attributes_.inode = inode_of(id, kInformationInodes + number);
  }

  Result<Reference<File>> open(std::uint32_t flags, Process& opener) override {
    const auto found = file_for(&opener, id_, number_);
    if (!found) {
      return found;
    }
    const File& file = **found;
    if ((flags & O_ACCMODE) != O_RDONLY) {
      return fail(EACCES);
    }
    auto* node = new (std::nothrow) TextNode("", nullptr);
    const Reference<Node> share(node);
    auto* text_file = node == nullptr ? nullptr : new (std::nothrow) TextFile(*node, flags);
    const Reference<File> result(text_file);
    constexpr std::size_t kSize = 256;
    const auto describe = [&](guest::TextWriter& text) { write(text, file); };
    return result && text_file->fill(kSize, describe) ? Result<Reference<File>>(result)
                                                      : fail(ENOMEM);
  }

 private:
  void write(guest::TextWriter& text, const File& file) const {
    text.text("pos:\t").decimal(file.position()).text("\nflags:\t0");
    const Process* process = server().find_process(id_);
    const std::uint32_t flags =
        file.flags() | (process != nullptr && process->has_memory() &&
                                process->descriptors().close_on_exec(number_)
                            ? O_CLOEXEC
                            : 0u);
    bool started = false;
    for (unsigned shift = 30; shift != 0;) {
      shift -= 3;
      const std::uint32_t digit = flags >> shift & 7;
      started = started || digit != 0 || shift == 0;
      if (started) {
        text.decimal(digit);
      }
    }
    const Mount* mount = mount_of(file.node());
    text.text("\nmnt_id:\t").decimal(mount != nullptr ? mount->id : 0);
    text.text("\nino:\t").decimal(file.node().inode()).put('\n');
  }

  std::uint32_t id_;
  std::uint64_t number_;
};

// /proc/ID/fd and /proc/ID/fdinfo: an entry for each open descriptor.
class DescriptorDirectory : public VirtualDirectory {
 public:
  DescriptorDirectory(std::string_view name, std::uint32_t id, bool links, std::uint64_t inode)
      : VirtualDirectory(name), id_(id), links_(links) {
    attributes_.inode = inode;
    attributes_.mode = kDirectory | (links ? 0500u : 0555u);
  }

  // Who may not look into the process may not look in here, whatever the mode says to others.
  Attributes attributes(const Process* viewer) const override {
    Attributes attributes = Node::attributes(viewer);
    set_inspected_owner(attributes, viewer, id_);
    attributes.mode &= is_visible(viewer) ? ~0u : ~0777u;
    return attributes;
  }

  Reference<Node> look_up(std::string_view name, Process* viewer) override {
    const std::uint64_t number = number_of(name, DescriptorTable::kMaximum);
    const Reference<File> file = is_visible(viewer) ? file_of(id_, number) : Reference<File>();
    Name copy = file ? Name::copy(name) : Name();
    if (copy.is_null()) {
      return {};
    }
    Node* node = nullptr;
    if (links_) {
      node = new (std::nothrow) DescriptorLink(std::move(copy), *file, id_, number);
    } else {
      node = new (std::nothrow) DescriptorText(std::move(copy), id_, number);
    }
    return placed(node, *this);
  }

  bool next_entry(std::uint64_t position, Process* viewer, DirectoryItem& item) override {
    Process* process = is_visible(viewer) ? server().find_process(id_) : nullptr;
    std::uint64_t number = position < kFirstPosition ? 0 : position - kFirstPosition + 1;
    while (process != nullptr && process->has_memory() &&
           number < process->descriptors().capacity()) {
      if (process->descriptors().find(number)) {
        fill_number(item, number, links_ ? kSymbolicLink : kRegularFile);
        item.inode = inode_of(id_, (links_ ? kDescriptorInodes : kInformationInodes) + number);
        return true;
      }
      ++number;
    }
    return false;
  }

 private:
  bool is_visible(const Process* viewer) const {
    const Process* process = server().find_process(id_);
    return process != nullptr && may_inspect(viewer, *process);
  }

  std::uint32_t id_;
  bool links_;
};

enum class EntryKind : std::uint8_t {
  kText,
  kExecutable,
  kWorkingDirectory,
  kRoot,
  kDescriptors,
  kDescriptorTexts,
  kTasks,
};

struct Entry {
  std::string_view name;
  EntryKind kind;
  TextNode::Generator generator = nullptr;
  TextNode::Taker taker = nullptr;
  std::uint32_t permissions = 0444;
  bool is_private = false;  // for those who may look into the process
};

constexpr Entry kEntries[] = {
    {"task", EntryKind::kTasks},
    {"fd", EntryKind::kDescriptors},
    {"fdinfo", EntryKind::kDescriptorTexts},
    {"exe", EntryKind::kExecutable},
    {"cwd", EntryKind::kWorkingDirectory},
    {"root", EntryKind::kRoot},
    {"cmdline", EntryKind::kText, write_command_line},
    {"environ", EntryKind::kText, write_environment, nullptr, 0400, true},
    {"auxv", EntryKind::kText, write_auxiliary, nullptr, 0400, true},
    {"comm", EntryKind::kText, write_process_name, take_process_name, 0644},
    {"maps", EntryKind::kText, write_maps, nullptr, 0444, true},
    {"smaps", EntryKind::kText, write_detailed_maps, nullptr, 0444, true},
    {"status", EntryKind::kText, write_process_status},
    {"stat", EntryKind::kText, write_process_statistics},
    {"statm", EntryKind::kText, write_memory_sizes},
    {"limits", EntryKind::kText, write_limits},
    {"mounts", EntryKind::kText, write_mounts},
    {"mountinfo", EntryKind::kText, write_mount_information},
    {"cgroup", EntryKind::kText, write_control_group},
    {"oom_score", EntryKind::kText, write_out_of_memory_score},
    {"oom_score_adj", EntryKind::kText, write_out_of_memory_score, take_out_of_memory_score, 0644},
};
constexpr std::size_t kEntryCount = std::size(kEntries);

std::uint32_t type_of(EntryKind kind) {
  switch (kind) {
    case EntryKind::kText:
      return kRegularFile;
    case EntryKind::kExecutable:
    case EntryKind::kWorkingDirectory:
    case EntryKind::kRoot:
      return kSymbolicLink;
    default:
      return kDirectory;
  }
}

// /proc/ID, and /proc/ID/task/ID, which has no task directory of its own.
class ProcessDirectory : public VirtualDirectory {
 public:
  ProcessDirectory(Name name, std::uint32_t id, bool of_task)
      : VirtualDirectory(std::move(name), kProcDevice), id_(id), of_task_(of_task) {
    attributes_.inode = inode_of(id, of_task ? kTaskInodes : 0);
  }

  Attributes attributes(const Process* viewer) const override {
    Attributes attributes = Node::attributes(viewer);
    set_inspected_owner(attributes, viewer, id_);
    return attributes;
  }

  std::uint32_t process_id() const override { return of_task_ ? 0 : id_; }
  Reference<Node> look_up(std::string_view name, Process* /*viewer*/) override {
    for (std::size_t index = first(); index < kEntryCount; ++index) {
      if (kEntries[index].name == name && server().find_process(id_) != nullptr) {
        return placed(make(kEntries[index], inode(index)), *this);
      }
    }
    return {};
  }

  bool next_entry(std::uint64_t position, Process* /*viewer*/, DirectoryItem& item) override {
    const std::uint64_t index = position < kFirstPosition ? first() : position - kFirstPosition + 1;
    if (index >= kEntryCount || server().find_process(id_) == nullptr) {
      return false;
    }
    item.name = kEntries[index].name;
    item.inode = inode(index);
    item.type = type_of(kEntries[index].kind);
    item.position = index + kFirstPosition;
    return true;
  }

 private:
  std::size_t first() const { return of_task_ ? 1 : 0; }
  std::uint64_t inode(std::size_t index) const {
    return inode_of(id_, index + 1 + (of_task_ ? kTaskInodes : 0));
  }
  Node* make(const Entry& entry, std::uint64_t inode) const;

  std::uint32_t id_;
  bool of_task_;
};

// /proc/ID/task
class TaskDirectory : public VirtualDirectory {
 public:
  TaskDirectory(std::uint32_t id, std::uint64_t inode) : VirtualDirectory("task"), id_(id) {
    attributes_.inode = inode;
  }

  Reference<Node> look_up(std::string_view name, Process* /*viewer*/) override {
    const Process* process = server().find_process(id_);
    const std::uint64_t wanted = number_of(name, ~std::uint32_t{0});
    const Task* task = process == nullptr ? nullptr : process->tasks();
    while (task != nullptr && task->id != wanted) {
      task = task->next_in_process;
    }
    if (task == nullptr) {
      return {};
    }
    Name copy = Name::copy(name);
    return copy.is_null()
               ? Reference<Node>()
               : placed(new (std::nothrow) ProcessDirectory(std::move(copy), id_, true), *this);
  }

  bool next_entry(std::uint64_t position, Process* /*viewer*/, DirectoryItem& item) override {
    const Process* process = server().find_process(id_);
    const std::uint64_t after = position < kFirstPosition ? 0 : position - kFirstPosition;
    const Task* found = nullptr;
    for (const Task* task = process == nullptr ? nullptr : process->tasks(); task != nullptr;
         task = task->next_in_process) {
      if (task->id > after && (found == nullptr || task->id < found->id)) {
        found = task;
      }
    }
    if (found == nullptr) {
      return false;
    }
    fill_number(item, found->id, kDirectory);
    item.inode = inode_of(id_, kTaskInodes);
    return true;
  }

 private:
  std::uint32_t id_;
};

Node* ProcessDirectory::make(const Entry& entry, std::uint64_t inode) const {
  switch (entry.kind) {
    case EntryKind::kText: {
      auto* node = new (std::nothrow) TextNode(entry.name, entry.generator, id_, entry.taker);
      if (node != nullptr) {
        node->set_inode(inode);
        node->set_permissions(entry.permissions);
        if (entry.is_private) {
          node->set_private();
        }
      }
      return node;
    }
    case EntryKind::kExecutable:
      return new (std::nothrow)
          ProcessLink(entry.name, ProcessLink::Target::kExecutable, id_, inode);
    case EntryKind::kWorkingDirectory:
      return new (std::nothrow)
          ProcessLink(entry.name, ProcessLink::Target::kWorkingDirectory, id_, inode);
    case EntryKind::kRoot:
      return new (std::nothrow) ProcessLink(entry.name, ProcessLink::Target::kRoot, id_, inode);
    case EntryKind::kDescriptors:
      return new (std::nothrow) DescriptorDirectory(entry.name, id_, true, inode);
    case EntryKind::kDescriptorTexts:
      return new (std::nothrow) DescriptorDirectory(entry.name, id_, false, inode);
    case EntryKind::kTasks:
      return new (std::nothrow) TaskDirectory(id_, inode);
  }
  return nullptr;
}

}  // namespace

Reference<Node> make_process_directory(std::uint32_t id, Node& parent) {
  Name name = name_of(id);
  return name.is_null()
             ? Reference<Node>()
             : placed(new (std::nothrow) ProcessDirectory(std::move(name), id, false), parent);
}

std::uint64_t process_directory_inode(std::uint32_t id) {
  return inode_of(id, 0);
}

}  // namespace linux_server
