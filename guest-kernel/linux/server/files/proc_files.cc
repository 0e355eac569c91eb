#include "guest-kernel/linux/server/files/proc_files.h"

#include <linux/magic.h>

#include <array>
#include <new>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/files/link_node.h"
#include "guest-kernel/linux/server/files/process_directory.h"
#include "guest-kernel/linux/server/files/processor_text.h"
#include "guest-kernel/linux/server/files/text_file.h"
#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/server/mounts.h"
#include "guest-kernel/linux/server/page_tree.h"
#include "guest-kernel/linux/server/server.h"
#include "guest-kernel/linux/server/system_name.h"

namespace linux_server {
namespace {

constexpr std::uint64_t kNanosecondsPerHundredth = 10'000'000;

void pad_right(guest::TextWriter& text, std::uint64_t value, unsigned width) {
  std::array<char, 24> digits;
  guest::TextWriter number(digits);
  number.decimal(value);
  for (std::size_t size = number.size(); size < width; ++size) {
    text.put(' ');
  }
  text.text(number.view());
}

// Seconds with two decimals.
void write_seconds(guest::TextWriter& text, std::uint64_t ns) {
  const std::uint64_t hundredths = ns / kNanosecondsPerHundredth;
  text.decimal(hundredths / 100).put('.');
  text.decimal(hundredths / 10 % 10).decimal(hundredths % 10);
}

// What the nucleus has spent on programs: page tables for the most part.
std::uint64_t kernel_memory() {
  const auto used = guest::information(abi::InformationKind::kDomain, 0, abi::kSelfSlot);
  return used ? (*used)[0] : 0;
}

void write_memory(guest::TextWriter& text, const Process* /*subject*/) {
  struct Line {
    std::string_view name;
    std::uint64_t bytes;
  };
  const std::uint64_t free = memory_pool().available();
  const Line lines[] = {
      {"MemTotal:       ", memory_pool().total()},
      {"MemFree:        ", free},
      {"MemAvailable:   ", free},
      {"Buffers:        ", 0},
      {"Cached:         ", file_memory_used() * PageTree::kPage},
      {"SwapCached:     ", 0},
      {"Shmem:          ", file_memory_used() * PageTree::kPage},
      {"SReclaimable:   ", 0},
      {"PageTables:     ", kernel_memory()},
      {"SwapTotal:      ", 0},
      {"SwapFree:       ", 0},
  };
  for (const Line& line : lines) {
    text.text(line.name);
    pad_right(text, line.bytes / 1024, 8);
    text.text(" kB\n");
  }
}

void write_uptime(guest::TextWriter& text, const Process* /*subject*/) {
  write_seconds(text, guest::monotonic_ns());
  text.text(" 0.00\n");
}

void write_version(guest::TextWriter& text, const Process* /*subject*/) {
  text.text("Linux version ").text(kRelease).text(" (ensemble) ").text(kVersion).put('\n');
}

// user, nice, system, idle and six more.
void write_processor_times(guest::TextWriter& text, std::string_view name,
                           const ProcessorTime& time, std::uint64_t processors) {
  const std::uint64_t all = guest::monotonic_ns() * processors;
  const std::uint64_t idle = all - std::min(all, time.total());
  text.text(name).put(' ').decimal(time.user / kNanosecondsPerHundredth).text(" 0 ");
  text.decimal(time.system / kNanosecondsPerHundredth).put(' ');
  text.decimal(idle / kNanosecondsPerHundredth).text(" 0 0 0 0 0 0\n");
}

void write_statistics(guest::TextWriter& text, const Process* /*subject*/) {
  const auto count = static_cast<std::uint32_t>(server().info().processor_count);
  ProcessorTime all;
  for (std::uint32_t index = 0; index < count; ++index) {
    all += time_of_processor(index);
  }
  write_processor_times(text, "cpu ", all, count);
  for (std::uint32_t index = 0; index < count; ++index) {
    std::array<char, 16> name;
    guest::TextWriter label(name);
    label.text("cpu").decimal(index);
    write_processor_times(text, label.view(), time_of_processor(index), 1);
  }
  text.text("btime ").decimal(guest::time_page().realtime_offset / 1'000'000'000).put('\n');
  text.text("processes ").decimal(server().process_count()).put('\n');
  text.text("procs_running 1\nprocs_blocked 0\n");
}

void write_load(guest::TextWriter& text, const Process* /*subject*/) {
  text.text("0.00 0.00 0.00 1/").decimal(server().process_count()).text(" 1\n");
}

void write_file_systems(guest::TextWriter& text, const Process* /*subject*/) {
  text.text("nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tdevtmpfs\nnodev\trootfs\n");
}

void write_kernel_command_line(guest::TextWriter& text, const Process* /*subject*/) {
  text.put('\n');
}

void write_os_type(guest::TextWriter& text, const Process* /*subject*/) {
  text.text("Linux\n");
}
void write_os_release(guest::TextWriter& text, const Process* /*subject*/) {
  text.text(kRelease).put('\n');
}
void write_host_name(guest::TextWriter& text, const Process* /*subject*/) {
  text.text(guest::text_of(system_name().fields[1])).put('\n');
}

void write_largest_process(guest::TextWriter& text, const Process* /*subject*/) {
  text.text("32768\n");
}
void write_zero(guest::TextWriter& text, const Process* /*subject*/) {
  text.text("0\n");
}
void write_largest_pipe(guest::TextWriter& text, const Process* /*subject*/) {
  text.text("1048576\n");
}
void write_largest_file_count(guest::TextWriter& text, const Process* /*subject*/) {
  text.text("9223372036854775807\n");
}

void write_largest_descriptor(guest::TextWriter& text, const Process* /*subject*/) {
  text.decimal(DescriptorTable::kMaximum).put('\n');
}

// A random identifier as RFC 9562's version 4.
void write_identifier(guest::TextWriter& text, std::span<const std::byte, 16> bytes) {
  for (std::size_t index = 0; index < bytes.size(); ++index) {
    if (index == 4 || index == 6 || index == 8 || index == 10) {
      text.put('-');
    }
    auto byte = static_cast<std::uint8_t>(bytes[index]);
    byte = index == 6   ? static_cast<std::uint8_t>((byte & 0x0f) | 0x40)
           : index == 8 ? static_cast<std::uint8_t>((byte & 0x3f) | 0x80)
                        : byte;
    text.hexadecimal(byte, 2);
  }
  text.put('\n');
}
void write_new_identifier(guest::TextWriter& text, const Process* /*subject*/) {
  std::array<std::byte, 16> bytes;
  server().random().fill(bytes);
  write_identifier(text, bytes);
}
void write_boot_identifier(guest::TextWriter& text, const Process* /*subject*/) {
  static constinit bool is_made = false;
  static constinit std::array<std::byte, 16> bytes = {};
  if (!is_made) {
    server().random().fill(bytes);
    is_made = true;
  }
  write_identifier(text, bytes);
}

// One line per call that was made: its name, how often, and whether it is missing.
void write_calls(guest::TextWriter& text, const Process* /*subject*/) {
  for (std::size_t number = 0; number < kCallNumbers; ++number) {
    if (call_count(number) == 0) {
      continue;
    }
    const std::string_view name = call_name(number);
    if (name.empty()) {
      text.text("call_").decimal(number);
    } else {
      text.text(name);
    }
    text.put(' ').decimal(call_count(number));
    text.text(call_is_implemented(number) ? "\n" : " missing\n");
  }
}

// /proc itself: its own files, and a directory for each process.
class ProcDirectory : public VirtualDirectory {
 public:
  ProcDirectory() : VirtualDirectory("proc") {}

  Reference<Node> look_up(std::string_view name, Process* viewer) override {
    if (Reference<Node> node = Directory::look_up(name, viewer)) {
      return node;
    }
    std::uint64_t id = 0;
    for (const char digit : name) {
      if (digit < '0' || digit > '9' || id > kLargestId || name.front() == '0') {
        return {};
      }
      id = id * 10 + static_cast<std::uint64_t>(digit - '0');
    }
    return id == 0 || server().find_process(id) == nullptr
               ? Reference<Node>()
               : make_process_directory(static_cast<std::uint32_t>(id), *this);
  }

  bool next_entry(std::uint64_t position, Process* viewer, DirectoryItem& item) override {
    if (position < kProcesses && Directory::next_entry(position, viewer, item)) {
      return true;
    }
    const Process* process =
        server().process_after(position < kProcesses ? 0 : position - kProcesses);
    if (process == nullptr) {
      return false;
    }
    guest::TextWriter text(item.storage);
    text.decimal(process->id());
    item.name = text.view();
    item.inode = process_directory_inode(process->id());
    item.type = kDirectory;
    item.position = kProcesses + process->id();
    return true;
  }

 private:
  static constexpr std::uint64_t kLargestId = 100'000'000;
  // Positions in a listing from which on they are processes.
  static constexpr std::uint64_t kProcesses = std::uint64_t{1} << 32;
};

class SelfLink : public Node {
 public:
  explicit SelfLink(std::string_view name, std::string_view before_task = {})
      : Node(name, kSymbolicLink | 0777), before_task_(before_task) {
    attributes_.device = kProcDevice;
  }
  Result<std::string_view> read_link(std::span<char> buffer, const Process* viewer) const override {
    if (viewer == nullptr) {
      return fail(ENOENT);
    }
    guest::TextWriter text(buffer);
    text.decimal(viewer->id());
    if (!before_task_.empty()) {
      text.text(before_task_).decimal(viewer->task().id);
    }
    return text.view();
  }

 private:
  std::string_view before_task_;
};

struct Description {
  std::string_view name;
  TextNode::Generator generator;
};

constexpr Description kFiles[] = {
    {"cpuinfo", write_processors},
    {"meminfo", write_memory},
    {"uptime", write_uptime},
    {"version", write_version},
    {"stat", write_statistics},
    {"loadavg", write_load},
    {"filesystems", write_file_systems},
    {"cmdline", write_kernel_command_line},
};
constexpr Description kKernelFiles[] = {
    {"ostype", write_os_type},
    {"osrelease", write_os_release},
    {"hostname", write_host_name},
    {"pid_max", write_largest_process},
};
constexpr Description kRandomFiles[] = {
    {"boot_id", write_boot_identifier},
    {"uuid", write_new_identifier},
};
constexpr Description kMemoryFiles[] = {{"overcommit_memory", write_zero}};
constexpr Description kFileSystemFiles[] = {
    {"pipe-max-size", write_largest_pipe},
    {"file-max", write_largest_file_count},
    {"nr_open", write_largest_descriptor},
};
// Of mq_overview(7): as message_queue_calls.cc has them.
constexpr Description kMessageQueueFiles[] = {
    {"queues_max", [](guest::TextWriter& text, const Process*) { text.text("256\n"); }},
    {"msg_max", [](guest::TextWriter& text, const Process*) { text.text("10\n"); }},
    {"msg_default", [](guest::TextWriter& text, const Process*) { text.text("10\n"); }},
    {"msgsize_max", [](guest::TextWriter& text, const Process*) { text.text("8192\n"); }},
    {"msgsize_default", [](guest::TextWriter& text, const Process*) { text.text("8192\n"); }},
};
constexpr Description kEnsembleFiles[] = {{"calls", write_calls}};

bool add_files(Directory& directory, std::span<const Description> files) {
  for (const Description& file : files) {
    if (!directory.add_child(new (std::nothrow) TextNode(file.name, file.generator))) {
      return false;
    }
  }
  return true;
}

// A directory with files. Null: no memory.
Directory* add_directory(Directory* parent, std::string_view name,
                         std::span<const Description> files = {}) {
  if (parent == nullptr) {
    return nullptr;
  }
  auto* directory = new (std::nothrow) VirtualDirectory(name);
  return parent->add_child(directory) && add_files(*directory, files) ? directory : nullptr;
}

}  // namespace

bool add_proc_files(Directory& root) {
  auto* directory = new (std::nothrow) ProcDirectory();
  if (!root.add_child(directory) || !directory->add_child(new (std::nothrow) SelfLink("self")) ||
      !directory->add_child(new (std::nothrow) SelfLink("thread-self", "/task/")) ||
      !directory->add_child(new (std::nothrow) LinkNode("mounts", "self/mounts")) ||
      !add_mount(*directory, "proc", "proc", PROC_SUPER_MAGIC, false)) {
    return false;
  }
  Directory* system = add_directory(directory, "sys");
  Directory* kernel = add_directory(system, "kernel", kKernelFiles);
  return add_directory(kernel, "random", kRandomFiles) != nullptr &&
         add_directory(system, "vm", kMemoryFiles) != nullptr &&
         add_directory(add_directory(system, "fs", kFileSystemFiles), "mqueue",
                       kMessageQueueFiles) != nullptr &&
         add_directory(directory, "ensemble", kEnsembleFiles) != nullptr &&
         add_files(*directory, kFiles);
}

}  // namespace linux_server
