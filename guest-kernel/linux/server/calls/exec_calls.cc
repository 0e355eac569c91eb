#include <asm/fcntl.h>
#include <asm/unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/futex.h"
#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/server/path.h"
#include "guest-kernel/linux/server/process_table.h"
#include "guest-kernel/linux/server/program.h"
#include "guest-kernel/linux/server/server.h"
#include "guest-kernel/linux/server/signals.h"

// execve(2), execveat(2).
namespace linux_server {
namespace {

constexpr std::uint64_t kDefault = 0;
constexpr std::uint64_t kIgnore = 1;
// For all arguments and the environment: what fits below the shim's pages in the process block.
constexpr std::uint64_t kStringSpace = 1024 * 1024;
constexpr std::size_t kScriptLine = 256;
constexpr unsigned kMaximumScripts = 4;

// Memory of the pool for the time of a call.
class Scratch {
 public:
  Scratch() : offset_(memory_pool().allocate(kStringSpace)) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (offset_ != MemoryPool::kNone) {
      memory_pool().free(offset_, kStringSpace);
    }
  }
  explicit operator bool() const { return offset_ != MemoryPool::kNone; }
  std::span<char> bytes() const {
    return {reinterpret_cast<char*>(memory_pool().at(offset_)), kStringSpace};
  }

 private:
  std::uint64_t offset_;
};

// Strings one after another in a part of the scratch memory.
class StringList {
 public:
  explicit StringList(std::span<char> space) : space_(space) {}

  Result<void> append(std::string_view text) {
    if (text.size() + 1 > space_.size() - used_) {
      return fail(E2BIG);
    }
    std::memcpy(space_.data() + used_, text.data(), text.size());
    used_ += text.size();
    space_[used_++] = '\0';
    ++count_;
    return {};
  }

  // The strings that a null-terminated array of pointers names. Null: none.
  Result<void> append_from(AddressSpace& memory, std::uint64_t array) {
    for (; array != 0; array += sizeof(std::uint64_t)) {
      const auto pointer = memory.read_value<std::uint64_t>(array);
      if (!pointer) {
        return fail(EFAULT);
      }
      if (*pointer == 0) {
        break;
      }
      const auto text = memory.read_string(*pointer, space_.subspan(used_));
      if (!text) {
        return fail(text.error().number == ENAMETOOLONG ? E2BIG : text.error().number);
      }
      used_ += text->size();
      space_[used_++] = '\0';
      ++count_;
    }
    return {};
  }

  Arguments arguments() const { return {{space_.data(), used_}, count_}; }
  // The rest after the first string.
  std::string_view after_first() const {
    const std::string_view all(space_.data(), used_);
    const std::size_t end = all.find('\0');
    return end == std::string_view::npos ? std::string_view{} : all.substr(end + 1);
  }
  std::uint32_t count() const { return count_; }

 private:
  std::span<char> space_;
  std::size_t used_ = 0;
  std::uint32_t count_ = 0;
};

// The first line of a script, after "#!": an interpreter and at most one argument.
struct ScriptLine {
  std::string_view interpreter;
  std::string_view argument;
};

Result<ScriptLine> parse_script(std::span<const std::byte> contents) {
  std::string_view text(reinterpret_cast<const char*>(contents.data()),
                        std::min(contents.size(), kScriptLine));
  if (!text.starts_with("#!")) {
    return fail(ENOEXEC);
  }
  text.remove_prefix(2);
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos && contents.size() > kScriptLine) {
    return fail(ENOEXEC);
  }
  text = text.substr(0, end);
  const auto trim = [](std::string_view& view) {
    while (!view.empty() && (view.front() == ' ' || view.front() == '\t')) {
      view.remove_prefix(1);
    }
    while (!view.empty() && (view.back() == ' ' || view.back() == '\t' || view.back() == '\r')) {
      view.remove_suffix(1);
    }
  };
  trim(text);
  ScriptLine line;
  line.interpreter = text.substr(0, text.find_first_of(" \t"));
  line.argument = text.substr(line.interpreter.size());
  trim(line.argument);
  return line.interpreter.empty() ? Result<ScriptLine>(fail(ENOEXEC)) : line;
}

Result<Reference<Node>> find_file(Task& task, std::string_view path) {
  Process& process = *task.process;
  return resolve(root_of(process), *process.working_directory, path, true, &process);
}

// The program that a file leads to, by way of interpreters. `names`: two lists, used in turn for
// the arguments as they grow.
Result<LoadedProgram> load(Task& task, Node& file, std::string_view path, StringList arguments,
                           const StringList& environment, std::span<char> spare) {
  Reference<Node> node(&file);
  std::array<char, kMaximumPath> interpreter;
  for (unsigned depth = 0; depth <= kMaximumScripts; ++depth) {
    const auto program = check_program(*node);
    if (program) {
      return load_program(*program, arguments.arguments(), environment.arguments(),
                          task.process->id());
    }
    if (program.error().number != ENOEXEC) {
      return std::unexpected(program.error());
    }
    const auto text = FileBytes::of(*node);
    const auto line = text ? parse_script(text->bytes()) : Result<ScriptLine>(fail(ENOEXEC));
    if (!line) {
      return std::unexpected(line.error());
    }
    // interpreter [argument] path, then all arguments but the first.
    const std::size_t half = spare.size() / 2;
    StringList longer(depth % 2 == 0 ? spare.first(half) : spare.subspan(half));
    Result<void> added = longer.append(line->interpreter);
    if (added && !line->argument.empty()) {
      added = longer.append(line->argument);
    }
    added = added ? longer.append(path) : added;
    std::string_view rest = arguments.after_first();
    while (added && !rest.empty()) {
      const std::size_t size = rest.find('\0');
      added = longer.append(rest.substr(0, size));
      rest.remove_prefix(size + 1);
    }
    if (!added) {
      return std::unexpected(added.error());
    }
    std::copy(line->interpreter.begin(), line->interpreter.end(), interpreter.begin());
    path = {interpreter.data(), line->interpreter.size()};
    const auto next = find_file(task, path);
    if (!next) {
      return std::unexpected(next.error());
    }
    node = *next;
    arguments = longer;
  }
  return fail(ELOOP);
}

void reset_signal_actions(Process& process) {
  for (SignalAction& action : process.actions) {
    action = {action.handler == kIgnore ? kIgnore : kDefault, 0, 0, 0};
  }
}

std::int64_t become(Task& task, LoadedProgram& loaded) {
  Process& process = *task.process;
  const std::uint64_t mask = task.page != nullptr ? task.page->signal_mask : 0;
  // From here on there is no way back.
  end_other_tasks(process, &task);
  leave_futexes(task);
  if (task.page != nullptr) {
    process.memory().return_thread_page({task.page_address, task.page});
  }
  task.id = process.id();
  process.descriptors().close_for_exec();
  reset_signal_actions(process);
  if (!enter_program(task, loaded)) {
    end_process(process, killed_by(kSignalKill));
    return kBlocked;
  }
  if (task.page != nullptr) {
    task.page->signal_mask = mask;
  }
  publish_signals(process);
  process.has_called_exec = true;
  process.exit_signal = kSignalChild;
  if (!start_task(task, loaded.start)) {
    end_process(process, killed_by(kSignalKill));
    return kBlocked;
  }
  process.memory_left.wake();
  return kBlocked;
}

std::int64_t execute(Task& task, const Result<Reference<Node>>& file, std::string_view path,
                     std::uint64_t arguments_address, std::uint64_t environment_address) {
  if (!file) {
    return -file.error().number;
  }
  const Scratch scratch;
  if (!scratch) {
    return -ENOMEM;
  }
  AddressSpace& space = task.process->space();
  const std::size_t part = kStringSpace / 4;
  StringList arguments(scratch.bytes().first(part));
  StringList environment(scratch.bytes().subspan(part, part));
  Result<void> read = arguments.append_from(space, arguments_address);
  read = read ? environment.append_from(space, environment_address) : read;
  if (read && arguments.count() == 0) {
    read = arguments.append("");
  }
  if (!read) {
    return -read.error().number;
  }
  auto loaded = load(task, **file, path, arguments, environment, scratch.bytes().subspan(2 * part));
  return loaded ? become(task, *loaded) : -loaded.error().number;
}

std::int64_t call_execve(Task& task) {
  std::array<char, kMaximumPath> buffer;
  const auto path = task.process->space().read_string(task.arguments[0], buffer);
  if (!path) {
    return -path.error().number;
  }
  return execute(task, find_file(task, *path), *path, task.arguments[1], task.arguments[2]);
}

constexpr CallEntry kCalls[] = {
    {__NR_execve, call_execve},
};

}  // namespace

std::span<const CallEntry> exec_calls() {
  return kCalls;
}

}  // namespace linux_server
