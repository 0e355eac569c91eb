#include "guest-kernel/linux/server/files/proc_files.h"

#include <asm/fcntl.h>

#include <array>
#include <new>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/files/link_node.h"
#include "guest-kernel/linux/server/files/process_directory.h"
#include "guest-kernel/linux/server/files/processor_text.h"
#include "guest-kernel/linux/server/files/text_file.h"
#include "guest-kernel/linux/server/memory_pool.h"
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
      {"Cached:         ", 0},
      {"SwapCached:     ", 0},
      {"Shmem:          ", 0},
      {"SReclaimable:   ", 0},
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

void write_statistics(guest::TextWriter& text, const Process* /*subject*/) {
  const std::uint64_t ticks = guest::monotonic_ns() / kNanosecondsPerHundredth;
  text.text("cpu  ").decimal(ticks).text(" 0 0 0 0 0 0 0 0 0\n");
  for (std::uint64_t index = 0; index < server().info().processor_count; ++index) {
    text.text("cpu").decimal(index).put(' ').decimal(ticks).text(" 0 0 0 0 0 0 0 0 0\n");
  }
  text.text("btime ").decimal(guest::time_page().realtime_offset / 1'000'000'000).put('\n');
  text.text("processes ").decimal(server().process_count()).put('\n');
  text.text("procs_running 1\nprocs_blocked 0\n");
}

void write_load(guest::TextWriter& text, const Process* /*subject*/) {
  text.text("0.00 0.00 0.00 1/").decimal(server().process_count()).text(" 1\n");
}

void write_mounts(guest::TextWriter& text, const Process* /*subject*/) {
  text.text("rootfs / rootfs ro 0 0\nproc /proc proc ro 0 0\ndevtmpfs /dev devtmpfs ro 0 0\n");
}

void write_file_systems(guest::TextWriter& text, const Process* /*subject*/) {
  text.text("nodev\trootfs\nnodev\tproc\nnodev\tdevtmpfs\n");
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
class ProcDirectory : public Directory {
 public:
  ProcDirectory() : Directory("proc", 0555) { attributes_.device = kVirtualDevice; }

  Node* look_up(std::string_view name, Process* viewer) override {
    if (Node* node = Directory::look_up(name, viewer); node != nullptr) {
      return node;
    }
    std::uint64_t id = 0;
    for (const char digit : name) {
      if (digit < '0' || digit > '9' || id > 1'000'000) {
        return nullptr;
      }
      id = id * 10 + static_cast<std::uint64_t>(digit - '0');
    }
    return id == 0 || server().find_process(id) == nullptr ? nullptr : directory_of(id);
  }

  Node* entry(std::uint64_t index, Process* viewer) override {
    // A process that looks sees at least its own directory.
    if (viewer != nullptr) {
      static_cast<void>(directory_of(viewer->id()));
    }
    return Directory::entry(index, viewer);
  }

 private:
  Node* directory_of(std::uint64_t id) {
    std::array<char, 24> digits;
    guest::TextWriter number(digits);
    number.decimal(id);
    if (Node* existing = Directory::look_up(number.view(), nullptr); existing != nullptr) {
      return existing;
    }
    Node* directory = make_process_directory(static_cast<std::uint32_t>(id));
    if (directory != nullptr) {
      add_child(*directory);
    }
    return directory;
  }
};

class SelfLink : public Node {
 public:
  SelfLink() : Node("self", kSymbolicLink | 0777) { attributes_.device = kVirtualDevice; }
  Result<std::string_view> read_link(std::span<char> buffer, const Process* viewer) const override {
    guest::TextWriter text(buffer);
    text.decimal(viewer == nullptr ? 0 : viewer->id());
    return text.view();
  }
};

struct Description {
  std::string_view name;
  TextNode::Generator generator;
};

constexpr Description kFiles[] = {
    {"cpuinfo", write_processors}, {"meminfo", write_memory},           {"uptime", write_uptime},
    {"version", write_version},    {"stat", write_statistics},          {"loadavg", write_load},
    {"mounts", write_mounts},      {"filesystems", write_file_systems},
};
constexpr Description kKernelFiles[] = {
    {"ostype", write_os_type}, {"osrelease", write_os_release}, {"hostname", write_host_name}};
constexpr Description kEnsembleFiles[] = {{"calls", write_calls}};

bool add_files(Node& directory, std::span<const Description> files) {
  for (const Description& file : files) {
    auto* node = new TextNode(file.name, file.generator);
    if (node == nullptr) {
      return false;
    }
    directory.add_child(*node);
  }
  return true;
}

Node* add_directory(Node& parent, std::string_view name) {
  auto* directory = new VirtualDirectory(name);
  if (directory != nullptr) {
    parent.add_child(*directory);
  }
  return directory;
}

}  // namespace

bool add_proc_files(Node& root) {
  auto* directory = new ProcDirectory();
  auto* self = new SelfLink();
  if (directory == nullptr || self == nullptr) {
    return false;
  }
  root.add_child(*directory);
  directory->add_child(*self);
  Node* system = add_directory(*directory, "sys");
  Node* kernel = system == nullptr ? nullptr : add_directory(*system, "kernel");
  Node* ensemble = add_directory(*directory, "ensemble");
  return kernel != nullptr && ensemble != nullptr && add_files(*directory, kFiles) &&
         add_files(*kernel, kKernelFiles) && add_files(*ensemble, kEnsembleFiles);
}

}  // namespace linux_server
