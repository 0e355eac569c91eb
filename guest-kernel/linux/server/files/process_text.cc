#include "guest-kernel/linux/server/files/process_text.h"

#include <algorithm>
#include <array>

#include "guest-kernel/linux/server/mounts.h"
#include "guest-kernel/linux/server/path.h"
#include "guest-kernel/linux/server/server.h"
#include "guest-kernel/linux/server/signals.h"
#include "guest-kernel/linux/shim/limits.h"

namespace linux_server {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kNanosecondsPerTick = 10'000'000;

// Copies [start, end) of the process's memory; stops at what is not there.
void write_memory(guest::TextWriter& text, const Process& process, std::uint64_t start,
                  std::uint64_t end) {
  if (!process.has_memory()) {
    return;
  }
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

// Bytes; of one that has ended: none.
struct MemorySizes {
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
};
MemorySizes sizes_of(const Process& process) {
  return process.has_memory()
             ? MemorySizes{process.space().segments().total_size(), process.space().resident()}
             : MemorySizes{};
}

std::string_view state_of(const Process& process) {
  if (process.state == ProcessState::kEnded) {
    return "Z (zombie)";
  }
  if (process.state == ProcessState::kStopped) {
    return "T (stopped)";
  }
  for (const Task* task = process.tasks(); task != nullptr; task = task->next_in_process) {
    if (!task->blocked) {
      return "R (running)";
    }
  }
  return "S (sleeping)";
}

std::string_view segment_name(const Segment& segment, std::span<char> buffer) {
  switch (segment.use) {
    case SegmentUse::kFile:
      return segment.file != nullptr ? segment.file->path_and_state(buffer) : std::string_view();
    case SegmentUse::kHeap:
      return "[heap]";
    case SegmentUse::kStack:
      return "[stack]";
    case SegmentUse::kShim:
      return "[vdso]";
    case SegmentUse::kAnonymous:
      break;
  }
  return {};
}

void write_segment(guest::TextWriter& text, const Segment& segment) {
  constexpr std::size_t kNameColumn = 73;
  const std::size_t start = text.size();
  text.hexadecimal(segment.start, 8).put('-').hexadecimal(segment.end, 8).put(' ');
  text.put((segment.protection & 1) != 0 ? 'r' : '-');
  text.put((segment.protection & 2) != 0 ? 'w' : '-');
  text.put((segment.protection & 4) != 0 ? 'x' : '-');
  text.put(segment.shared ? 's' : 'p').put(' ');
  text.hexadecimal(segment.file_offset, 8).text(" 00:");
  text.hexadecimal(segment.file != nullptr ? segment.file->device() : 0, 2).put(' ');
  text.decimal(segment.file != nullptr ? segment.file->inode() : 0).put(' ');
  std::array<char, kMaximumPath> buffer;
  const std::string_view name = segment_name(segment, buffer);
  while (!name.empty() && text.size() - start < kNameColumn && !text.cut()) {
    text.put(' ');
  }
  text.text(name).put('\n');
}

void write_identities(guest::TextWriter& text, std::string_view name,
                      const std::array<std::uint32_t, 4>& ids) {
  text.text(name);
  for (const std::uint32_t id : ids) {
    text.put('\t').decimal(id);
  }
  text.put('\n');
}

// A set of signals or capabilities.
void write_set(guest::TextWriter& text, std::string_view name, std::uint64_t set) {
  text.text(name).put('\t').hexadecimal(set, 16).put('\n');
}

void write_signal_sets(guest::TextWriter& text, const Process& process) {
  constexpr std::uint64_t kIgnore = 1;
  std::uint64_t ignored = 0;
  std::uint64_t caught = 0;
  for (std::uint32_t number = 1; number <= Process::kSignals; ++number) {
    const std::uint64_t handler = process.actions[number].handler;
    ignored |= handler == kIgnore ? signal_bit(number) : 0;
    caught |= handler > kIgnore ? signal_bit(number) : 0;
  }
  const Task* task = process.tasks();
  text.text("SigQ:\t0/").decimal(process.limits[shim::kPendingSignalLimit].current).put('\n');
  write_set(text, "SigPnd:", task != nullptr ? task->pending.set() : 0);
  write_set(text, "ShdPnd:", process.pending.set());
  write_set(text, "SigBlk:", task != nullptr ? blocked_signals(*task) : 0);
  write_set(text, "SigIgn:", ignored);
  write_set(text, "SigCgt:", caught);
}

void write_capabilities(guest::TextWriter& text, const Credentials& credentials) {
  write_set(text, "CapInh:", credentials.inheritable);
  write_set(text, "CapPrm:", credentials.permitted);
  write_set(text, "CapEff:", credentials.effective);
  write_set(text, "CapBnd:", credentials.bounding);
  write_set(text, "CapAmb:", credentials.ambient);
  text.text("NoNewPrivs:\t").decimal(credentials.no_new_privileges ? 1 : 0);
  text.text("\nSeccomp:\t0\n");
}

// Processors as a mask, and as a list of ranges from 0 on.
void write_processors_allowed(guest::TextWriter& text, const Process& process) {
  const std::uint32_t count = std::clamp<std::uint32_t>(server().info().processor_count, 1, 64);
  const std::uint64_t all = count == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
  const std::uint64_t chosen =
      process.tasks() != nullptr ? process.task().scheduling.processors : 0;
  const std::uint64_t set = chosen != 0 ? chosen : all;
  text.text("Cpus_allowed:\t").hexadecimal(set, 1).text("\nCpus_allowed_list:\t");
  bool first = true;
  for (std::uint32_t start = 0; start < 64; ++start) {
    if ((set >> start & 1) == 0) {
      continue;
    }
    std::uint32_t end = start;
    while (end + 1 < 64 && (set >> (end + 1) & 1) != 0) {
      ++end;
    }
    text.text(first ? "" : ",").decimal(start);
    if (end != start) {
      text.put('-').decimal(end);
    }
    first = false;
    start = end;
  }
  text.put('\n');
}

// Text in a column of `width`.
void write_column(guest::TextWriter& text, std::string_view value, std::size_t width) {
  text.text(value);
  for (std::size_t size = value.size(); size < width; ++size) {
    text.put(' ');
  }
}

void write_limit(guest::TextWriter& text, std::uint64_t value) {
  std::array<char, 24> digits;
  guest::TextWriter number(digits);
  number.decimal(value);
  write_column(text, value == ~std::uint64_t{0} ? "unlimited" : number.view(), 21);
}

// A space, tab or newline in a path, as the mount tables have it.
void write_escaped(guest::TextWriter& text, std::string_view path) {
  for (const char byte : path) {
    if (byte == ' ' || byte == '\t' || byte == '\n' || byte == '\\') {
      text.put('\\');
      text.put(static_cast<char>('0' + (byte >> 6 & 7)))
          .put(static_cast<char>('0' + (byte >> 3 & 7)));
      text.put(static_cast<char>('0' + (byte & 7)));
    } else {
      text.put(byte);
    }
  }
}

}  // namespace

void write_command_line(guest::TextWriter& text, const Process* subject) {
  write_memory(text, *subject, subject->arguments_start, subject->arguments_end);
}
void write_environment(guest::TextWriter& text, const Process* subject) {
  write_memory(text, *subject, subject->environment_start, subject->environment_end);
}
void write_auxiliary(guest::TextWriter& text, const Process* subject) {
  write_memory(text, *subject, subject->auxiliary_start, subject->auxiliary_end);
}
void write_process_name(guest::TextWriter& text, const Process* subject) {
  text.text(subject->name()).put('\n');
}
std::int64_t take_process_name(std::string_view text, Process* subject) {
  subject->set_name(text.substr(0, text.find_first_of(std::string_view("\n\0", 2))));
  return 0;
}

void write_maps(guest::TextWriter& text, const Process* subject) {
  if (!subject->has_memory()) {
    return;
  }
  for (const Segment& segment : subject->space().segments()) {
    write_segment(text, segment);
  }
}

void write_detailed_maps(guest::TextWriter& text, const Process* subject) {
  if (!subject->has_memory()) {
    return;
  }
  for (const Segment& segment : subject->space().segments()) {
    const std::uint64_t size = segment.size() / 1024;
    const std::uint64_t resident = segment.backing == Backing::kNone ? 0 : size;
    write_segment(text, segment);
    text.text("Size: ").decimal(size).text(" kB\nKernelPageSize: 4 kB\nMMUPageSize: 4 kB\nRss: ");
    text.decimal(resident).text(" kB\nPss: ").decimal(resident).text(" kB\n");
    text.text("Shared_Clean: 0 kB\nShared_Dirty: 0 kB\nPrivate_Clean: 0 kB\nPrivate_Dirty: ");
    text.decimal(resident).text(" kB\nSwap: 0 kB\nLocked: 0 kB\n");
  }
}

void write_process_status(guest::TextWriter& text, const Process* subject) {
  const MemorySizes sizes = sizes_of(*subject);
  const std::uint64_t size = sizes.total / 1024;
  const std::uint64_t resident = sizes.resident / 1024;
  const Credentials& credentials = subject->credentials;
  text.text("Name:\t").text(subject->name()).text("\nUmask:\t0");
  text.decimal(subject->file_mode_mask >> 6).decimal(subject->file_mode_mask >> 3 & 7);
  text.decimal(subject->file_mode_mask & 7);
  text.text("\nState:\t").text(state_of(*subject)).text("\nTgid:\t").decimal(subject->id());
  text.text("\nNgid:\t0\nPid:\t").decimal(subject->id());
  text.text("\nPPid:\t").decimal(subject->parent != nullptr ? subject->parent->id() : 0);
  text.text("\nTracerPid:\t0\n");
  write_identities(text, "Uid:",
                   {credentials.real_user, credentials.effective_user, credentials.saved_user,
                    credentials.user});
  write_identities(text, "Gid:",
                   {credentials.real_group, credentials.effective_group, credentials.saved_group,
                    credentials.group});
  text.text("FDSize:\t")
      .decimal(subject->has_memory() ? subject->descriptors().capacity() : 0)
      .text("\nGroups:\t");
  for (const std::uint32_t group : credentials.groups()) {
    text.decimal(group).put(' ');
  }
  text.text("\nVmPeak:\t").decimal(size).text(" kB\nVmSize:\t").decimal(size);
  text.text(" kB\nVmLck:\t0 kB\nVmHWM:\t").decimal(resident);
  text.text(" kB\nVmRSS:\t").decimal(resident).text(" kB\nVmSwap:\t0 kB\nThreads:\t");
  text.decimal(subject->task_count()).put('\n');
  write_signal_sets(text, *subject);
  write_capabilities(text, credentials);
  write_processors_allowed(text, *subject);
  text.text("voluntary_ctxt_switches:\t").decimal(subject->calls);
  text.text("\nnonvoluntary_ctxt_switches:\t0\n");
}

void write_process_statistics(guest::TextWriter& text, const Process* subject) {
  text.decimal(subject->id()).text(" (").text(subject->name()).text(") ");
  text.put(state_of(*subject).front()).put(' ');
  text.decimal(subject->parent != nullptr ? subject->parent->id() : 0).put(' ');
  // pgrp, session, tty_nr, tpgid, flags
  text.decimal(subject->group).put(' ').decimal(subject->session).text(" 1281 ");
  text.decimal(subject->group).text(" 0 ");
  // minflt, cminflt, majflt, cmajflt, utime, stime, cutime, cstime
  const ProcessorTime used = time_of(*subject);
  const ProcessorTime& children = subject->children_time;
  text.decimal(subject->page_faults).put(' ').decimal(subject->children_page_faults);
  text.text(" 0 0 ").decimal(used.user / kNanosecondsPerTick);
  text.put(' ').decimal(used.system / kNanosecondsPerTick);
  text.put(' ').decimal(children.user / kNanosecondsPerTick);
  text.put(' ').decimal(children.system / kNanosecondsPerTick).put(' ');
  // priority, nice, num_threads, itrealvalue, starttime, vsize, rss, rsslim
  const std::int32_t nice = subject->tasks() != nullptr ? subject->task().scheduling.niceness : 0;
  text.decimal(static_cast<std::uint64_t>(20 + nice)).text(nice < 0 ? " -" : " ");
  text.decimal(static_cast<std::uint64_t>(nice < 0 ? -nice : nice)).put(' ');
  text.decimal(subject->task_count())
      .text(" 0 ")
      .decimal(subject->started_ns / kNanosecondsPerTick)
      .put(' ');
  const MemorySizes sizes = sizes_of(*subject);
  text.decimal(sizes.total).put(' ');
  text.decimal(sizes.resident / kPage).text(" 18446744073709551615 ");
  // startcode, endcode, startstack, and the 24 fields after it
  text.text("0 0 ").decimal(subject->stack_start);
  for (unsigned field = 29; field <= 52; ++field) {
    text.text(" 0");
  }
  text.put('\n');
}

void write_memory_sizes(guest::TextWriter& text, const Process* subject) {
  const MemorySizes sizes = sizes_of(*subject);
  text.decimal(sizes.total / kPage).put(' ');
  text.decimal(sizes.resident / kPage).text(" 0 0 0 0 0\n");
}

void write_limits(guest::TextWriter& text, const Process* subject) {
  struct Line {
    std::string_view name;
    std::string_view unit;
  };
  constexpr Line kLines[] = {
      {"Max cpu time", "seconds"},     {"Max file size", "bytes"},
      {"Max data size", "bytes"},      {"Max stack size", "bytes"},
      {"Max core file size", "bytes"}, {"Max resident set", "bytes"},
      {"Max processes", "processes"},  {"Max open files", "files"},
      {"Max locked memory", "bytes"},  {"Max address space", "bytes"},
      {"Max file locks", "locks"},     {"Max pending signals", "signals"},
      {"Max msgqueue size", "bytes"},  {"Max nice priority", ""},
      {"Max realtime priority", ""},   {"Max realtime timeout", "us"},
  };
  write_column(text, "Limit", 26);
  write_column(text, "Soft Limit", 21);
  write_column(text, "Hard Limit", 21);
  write_column(text, "Units", 10);
  text.put('\n');
  for (std::uint64_t number = 0; number < shim::kLimitCount; ++number) {
    const shim::Limit& limit = subject->limits[number];
    write_column(text, kLines[number].name, 26);
    write_limit(text, limit.current);
    write_limit(text, limit.maximum);
    write_column(text, kLines[number].unit, 10);
    text.put('\n');
  }
}

void write_control_group(guest::TextWriter& text, const Process* /*subject*/) {
  text.text("0::/\n");
}
void write_out_of_memory_score(guest::TextWriter& text, const Process* /*subject*/) {
  text.text("0\n");
}
// No process is ever killed for its memory, so that the value is of no consequence.
std::int64_t take_out_of_memory_score(std::string_view text, Process* /*subject*/) {
  const bool is_number = !text.empty() && text.find_first_not_of("-0123456789\n") == text.npos;
  return is_number ? 0 : -EINVAL;
}

void write_mounts(guest::TextWriter& text, const Process* /*subject*/) {
  std::array<char, kMaximumPath> buffer;
  for (const Mount& mount : mounts()) {
    text.text(mount.source).put(' ');
    write_escaped(text, mount.root->path(buffer));
    text.put(' ').text(mount.type).text(mount.read_only ? " ro" : " rw").text(",relatime 0 0\n");
  }
}

void write_mount_information(guest::TextWriter& text, const Process* /*subject*/) {
  std::array<char, kMaximumPath> buffer;
  for (const Mount& mount : mounts()) {
    const std::string_view access = mount.read_only ? "ro" : "rw";
    text.decimal(mount.id).put(' ').decimal(mount.parent).text(" 0:").decimal(mount.device);
    text.text(" / ");
    write_escaped(text, mount.root->path(buffer));
    text.put(' ').text(access).text(",relatime - ").text(mount.type).put(' ');
    text.text(mount.source).put(' ').text(access).put('\n');
  }
}

}  // namespace linux_server
