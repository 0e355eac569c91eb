#include "guest-kernel/linux/server/files/process_directory.h"

#include <algorithm>
#include <array>
#include <new>

#include "guest-kernel/linux/server/files/text_file.h"
#include "guest-kernel/linux/server/path.h"
#include "guest-kernel/linux/server/server.h"

namespace linux_server {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kNanosecondsPerTick = 10'000'000;

// Copies [start, end) of the process's memory; stops at what is not there.
void write_memory(guest::TextWriter& text, const Process& process, std::uint64_t start,
                  std::uint64_t end) {
  auto& space = const_cast<Process&>(process).space();
  while (start < end) {
    const auto piece = space.window(start, end - start, Access::kRead);
    if (!piece) {
      return;
    }
    text.text({reinterpret_cast<const char*>(piece->data()), piece->size()});
    start += piece->size();
  }
}

void write_command_line(guest::TextWriter& text, const Process* subject) {
  write_memory(text, *subject, subject->arguments_start, subject->arguments_end);
}
void write_environment(guest::TextWriter& text, const Process* subject) {
  write_memory(text, *subject, subject->environment_start, subject->environment_end);
}
void write_auxiliary(guest::TextWriter& text, const Process* subject) {
  write_memory(text, *subject, subject->auxiliary_start, subject->auxiliary_end);
}
void write_name(guest::TextWriter& text, const Process* subject) {
  text.text(subject->name()).put('\n');
}

void write_maps(guest::TextWriter& text, const Process* subject) {
  std::array<char, kMaximumPath> buffer;
  for (const Segment& segment : subject->space().segments()) {
    text.hexadecimal(segment.start, 8).put('-').hexadecimal(segment.end, 8).put(' ');
    text.put((segment.protection & 1) != 0 ? 'r' : '-');
    text.put((segment.protection & 2) != 0 ? 'w' : '-');
    text.put((segment.protection & 4) != 0 ? 'x' : '-');
    text.put(segment.shared ? 's' : 'p').put(' ');
    text.hexadecimal(segment.file_offset, 8).text(" 00:");
    text.hexadecimal(segment.file != nullptr ? kRootDevice : 0, 2).put(' ');
    text.decimal(segment.file != nullptr ? segment.file->attributes(nullptr).inode : 0).put(' ');
    std::string_view name;
    switch (segment.use) {
      case SegmentUse::kFile:
        name = segment.file != nullptr ? segment.file->path(buffer) : "";
        break;
      case SegmentUse::kHeap:
        name = "[heap]";
        break;
      case SegmentUse::kStack:
        name = "[stack]";
        break;
      case SegmentUse::kShim:
        name = "[shim]";
        break;
      case SegmentUse::kAnonymous:
        break;
    }
    text.text(name).put('\n');
  }
}

void write_status(guest::TextWriter& text, const Process* subject) {
  const std::uint64_t size = subject->space().segments().total_size() / 1024;
  const std::uint64_t resident = subject->space().resident() / 1024;
  text.text("Name:\t").text(subject->name());
  text.text("\nUmask:\t")
      .decimal(subject->file_mode_mask >> 6)
      .decimal(subject->file_mode_mask >> 3 & 7)
      .decimal(subject->file_mode_mask & 7);
  text.text("\nState:\tR (running)\nTgid:\t").decimal(subject->id());
  text.text("\nPid:\t").decimal(subject->id());
  text.text("\nPPid:\t0\nTracerPid:\t0\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t");
  text.decimal(DescriptorTable::kMaximum).text("\nVmSize:\t").decimal(size);
  text.text(" kB\nVmRSS:\t").decimal(resident).text(" kB\nThreads:\t1\n");
}

void write_statistics(guest::TextWriter& text, const Process* subject) {
  text.decimal(subject->id()).text(" (").text(subject->name()).text(") R 0 ");
  // pgrp, session, tty_nr, tpgid, flags
  text.decimal(subject->id()).put(' ').decimal(subject->id()).text(" 1281 ");
  text.decimal(subject->id()).text(" 0 ");
  // minflt … cstime
  text.decimal(subject->page_faults).text(" 0 0 0 0 0 0 0 ");
  // priority, nice, num_threads, itrealvalue, starttime, vsize, rss, rsslim
  text.text("20 0 1 0 ").decimal(subject->started_ns / kNanosecondsPerTick).put(' ');
  text.decimal(subject->space().segments().total_size()).put(' ');
  text.decimal(subject->space().resident() / kPage).text(" 18446744073709551615 ");
  // startcode, endcode, startstack, and the 24 fields after it
  text.text("0 0 ").decimal(subject->stack_start);
  for (unsigned field = 29; field <= 52; ++field) {
    text.text(" 0");
  }
  text.put('\n');
}

void write_memory_sizes(guest::TextWriter& text, const Process* subject) {
  text.decimal(subject->space().segments().total_size() / kPage).put(' ');
  text.decimal(subject->space().resident() / kPage).text(" 0 0 0 0 0\n");
}

void write_limits(guest::TextWriter& text, const Process* /*subject*/) {
  text.text("Limit                     Soft Limit           Hard Limit           Units     \n");
  text.text("Max open files            ").decimal(DescriptorTable::kMaximum);
  text.text("                 ").decimal(DescriptorTable::kMaximum);
  text.text("                 files     \n");
}

// A link to a file or directory that the process has.
class ProcessLink : public Node {
 public:
  enum class Target : std::uint8_t { kExecutable, kWorkingDirectory, kRoot };

  ProcessLink(std::string_view name, Target target, std::uint32_t id)
      : Node(name, kSymbolicLink | 0777), target_(target), id_(id) {
    attributes_.device = kVirtualDevice;
  }

  Result<std::string_view> read_link(std::span<char> buffer,
                                     const Process* /*viewer*/) const override {
    const Process* process = server().find_process(id_);
    if (process == nullptr) {
      return fail(ESRCH);
    }
    const Node* node = target_ == Target::kRoot         ? &server().root()
                       : target_ == Target::kExecutable ? process->executable
                                                        : process->working_directory;
    if (node == nullptr) {
      return fail(ENOENT);
    }
    return node->path(buffer);
  }

 private:
  Target target_;
  std::uint32_t id_;
};

// /proc/ID/fd: a link for each open descriptor. The links are made as they are looked up.
class DescriptorDirectory : public VirtualDirectory {
 public:
  explicit DescriptorDirectory(std::uint32_t id) : VirtualDirectory("fd"), id_(id) {}

  Node* look_up(std::string_view name, Process* /*viewer*/) override {
    std::uint64_t number = 0;
    for (const char digit : name) {
      if (digit < '0' || digit > '9' || number >= DescriptorTable::kMaximum) {
        return nullptr;
      }
      number = number * 10 + static_cast<std::uint64_t>(digit - '0');
    }
    return name.empty() ? nullptr : link_of(number);
  }

  Node* entry(std::uint64_t index, Process* /*viewer*/) override {
    Process* process = server().find_process(id_);
    if (process == nullptr) {
      return nullptr;
    }
    for (std::uint64_t number = 0; number < process->descriptors().capacity(); ++number) {
      if (process->descriptors().find(number) && index-- == 0) {
        return link_of(number);
      }
    }
    return nullptr;
  }

 private:
  class DescriptorLink : public Node {
   public:
    DescriptorLink(std::uint32_t id, std::uint64_t number)
        : Node({}, kSymbolicLink | 0700), id_(id), number_(number) {
      attributes_.device = kVirtualDevice;
      guest::TextWriter text(digits_);
      text.decimal(number);
      set_name(text.view());
    }
    std::uint64_t number() const { return number_; }

    Result<std::string_view> read_link(std::span<char> buffer,
                                       const Process* /*viewer*/) const override {
      Process* process = server().find_process(id_);
      const Reference<File> file =
          process == nullptr ? Reference<File>() : process->descriptors().find(number_);
      if (!file) {
        return fail(ENOENT);
      }
      return file->node().path(buffer);
    }

   private:
    std::uint32_t id_;
    std::uint64_t number_;
    std::array<char, 8> digits_ = {};
  };

  Node* link_of(std::uint64_t number) {
    Process* process = server().find_process(id_);
    if (process == nullptr || !process->descriptors().find(number)) {
      return nullptr;
    }
    if (links_[number] == nullptr) {
      links_[number] = new DescriptorLink(id_, number);
      if (links_[number] != nullptr) {
        add_child(*links_[number]);
      }
    }
    return links_[number];
  }

  std::uint32_t id_;
  std::array<Node*, DescriptorTable::kMaximum> links_ = {};
};

struct Description {
  std::string_view name;
  TextNode::Generator generator;
};

constexpr Description kFiles[] = {
    {"cmdline", write_command_line},
    {"environ", write_environment},
    {"auxv", write_auxiliary},
    {"comm", write_name},
    {"maps", write_maps},
    {"status", write_status},
    {"stat", write_statistics},
    {"statm", write_memory_sizes},
    {"limits", write_limits},
};

// The directory and the name that it has, which nobody else keeps.
class ProcessDirectory : public VirtualDirectory {
 public:
  explicit ProcessDirectory(std::uint32_t id) : VirtualDirectory({}) {
    guest::TextWriter text(digits_);
    text.decimal(id);
    set_name(text.view());
  }

 private:
  std::array<char, 12> digits_ = {};
};

}  // namespace

Node* make_process_directory(std::uint32_t id) {
  auto* directory = new ProcessDirectory(id);
  if (directory == nullptr) {
    return nullptr;
  }
  const std::array<Node*, 4> nodes = {
      new ProcessLink("exe", ProcessLink::Target::kExecutable, id),
      new ProcessLink("cwd", ProcessLink::Target::kWorkingDirectory, id),
      new ProcessLink("root", ProcessLink::Target::kRoot, id),
      new DescriptorDirectory(id),
  };
  for (Node* node : nodes) {
    if (node == nullptr) {
      return nullptr;
    }
    directory->add_child(*node);
  }
  for (const Description& file : kFiles) {
    auto* node = new TextNode(file.name, file.generator, id);
    if (node == nullptr) {
      return nullptr;
    }
    directory->add_child(*node);
  }
  return directory;
}

}  // namespace linux_server
