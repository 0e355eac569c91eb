#include <asm/unistd.h>
#include <linux/fcntl.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/lib/format.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/calls/path_support.h"
#include "guest-kernel/linux/server/file_mappings.h"
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
// As Linux has it: MAX_ARG_STRLEN, BINPRM_BUF_SIZE, the depth of scripts of scripts.
constexpr std::uint64_t kMaximumString = 128 * 1024;
constexpr std::size_t kScriptLine = 256;
constexpr unsigned kMaximumScripts = 5;
// What scripts put before the arguments: a path, then two words of a line for each.
constexpr std::size_t kScriptSpace = kMaximumPath + 2 * kMaximumScripts * kScriptLine;

// Memory of the pool for the time of a call: for all arguments and the environment.
class Scratch {
 public:
  Scratch() : offset_(memory_pool().allocate_uncleared_for_program(kSize)) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (offset_ != MemoryPool::kNone) {
      memory_pool().free(offset_, kSize);
    }
  }
  explicit operator bool() const { return offset_ != MemoryPool::kNone; }
  std::span<char> bytes() const {
    return {reinterpret_cast<char*>(memory_pool().at(offset_)), kSize};
  }

 private:
  static constexpr std::uint64_t kSize = abi::kLargePageSize;

  std::uint64_t offset_;
};

// Strings one after another in a part of the scratch memory, which may grow at both ends.
class StringList {
 public:
  StringList() = default;
  // The first string comes to `lead`.
  StringList(std::span<char> space, std::size_t lead) : space_(space), begin_(lead), end_(lead) {}

  // The strings that a null-terminated array of pointers names. Null: none. EFAULT, E2BIG.
  Result<void> append_from(AddressSpace& memory, std::uint64_t array) {
    for (; array != 0; array += sizeof(std::uint64_t)) {
      const auto pointer = memory.read_value<std::uint64_t>(array);
      if (!pointer) {
        return fail(EFAULT);
      }
      if (*pointer == 0) {
        break;
      }
      const auto rest = space_.subspan(end_);
      const auto text = memory.read_string(
          *pointer, rest.first(std::min<std::size_t>(rest.size(), kMaximumString)));
      if (!text) {
        return fail(text.error().number == ENAMETOOLONG ? E2BIG : text.error().number);
      }
      end_ += text->size();
      space_[end_++] = '\0';
      ++count_;
    }
    return {};
  }
  void append_empty() {
    space_[end_++] = '\0';
    ++count_;
  }
  Result<void> prepend(std::string_view text) {
    if (text.size() + 1 > begin_) {
      return fail(E2BIG);
    }
    space_[--begin_] = '\0';
    begin_ -= text.size();
    std::memcpy(space_.data() + begin_, text.data(), text.size());
    ++count_;
    return {};
  }
  void drop_first() {
    begin_ += all().find('\0') + 1;
    --count_;
  }

  Arguments arguments() const { return {all(), count_}; }
  std::uint32_t count() const { return count_; }
  std::span<char> unused() const { return space_.subspan(end_); }

 private:
  std::string_view all() const { return {space_.data() + begin_, end_ - begin_}; }

  std::span<char> space_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::uint32_t count_ = 0;
};

// The first line of a script, after "#!": an interpreter and at most one argument.
struct ScriptLine {
  std::string_view interpreter;
  std::string_view argument;
};

Result<ScriptLine> parse_script(std::span<const std::byte> contents) {
  constexpr std::string_view kBlanks = " \t";
  std::string_view text(reinterpret_cast<const char*>(contents.data()),
                        std::min(contents.size(), kScriptLine));
  if (!text.starts_with("#!")) {
    return fail(ENOEXEC);
  }
  text.remove_prefix(2);
  const std::size_t end = text.find('\n');
  const auto skip = [&](std::string_view& view) {
    view.remove_prefix(std::min(view.find_first_not_of(kBlanks), view.size()));
  };
  const bool is_cut = end == std::string_view::npos && contents.size() >= kScriptLine;
  text = text.substr(0, end);
  skip(text);
  if (is_cut && text.find_first_of(std::string_view(" \t\0", 3)) == std::string_view::npos) {
    return fail(ENOEXEC);  // not all of the interpreter's name
  }
  text = text.substr(0, text.find('\0'));
  text = text.substr(0, text.find_last_not_of(kBlanks) + 1);
  ScriptLine line;
  line.interpreter = text.substr(0, text.find_first_of(kBlanks));
  line.argument = text.substr(line.interpreter.size());
  skip(line.argument);
  return line.interpreter.empty() ? Result<ScriptLine>(fail(ENOEXEC)) : line;
}

// What is to be run, and by which name.
struct Target {
  Reference<Node> node;
  std::string_view path;
  bool is_reachable = true;  // an interpreter can open it by its name
};

Result<void> check_executable(Task& task, Node& node) {
  if (node.type() != kRegularFile || !is_allowed(task, node, kMayExecute)) {
    return fail(EACCES);
  }
  return node.writers != 0 || is_mapped_writable(node) ? Result<void>(fail(ETXTBSY))
                                                       : Result<void>{};
}

// The program that a file leads to, by way of interpreters.
Result<LoadedProgram> load(Task& task, const Target& target, StringList& arguments,
                           const StringList& environment) {
  Process& process = *task.process;
  Reference<Node> node = target.node;
  std::string_view path = target.path;
  std::array<char, kScriptLine> interpreter;
  for (unsigned depth = 0; depth <= kMaximumScripts; ++depth) {
    if (const auto checked = check_executable(task, *node); !checked) {
      return std::unexpected(checked.error());
    }
    auto program = check_program(*node);
    if (program) {
      program->called = target.path;
      program->viewer = &process;
      const bool shares = process.places()->owners() > 1;
      return load_program(
          *program, arguments.arguments(), environment.arguments(),
          credentials_of_program(process.credentials, node->attributes(&process), shares));
    }
    if (program.error().number != ENOEXEC) {
      return std::unexpected(program.error());
    }
    const auto text = FileBytes::of(*node);
    const auto line = text ? parse_script(text->bytes()) : Result<ScriptLine>(fail(ENOEXEC));
    if (!line) {
      return std::unexpected(line.error());
    }
    if (!target.is_reachable) {
      return fail(ENOENT);
    }
    // interpreter [argument] path, then all arguments but the first.
    arguments.drop_first();
    Result<void> added = arguments.prepend(path);
    if (added && !line->argument.empty()) {
      added = arguments.prepend(line->argument);
    }
    added = added ? arguments.prepend(line->interpreter) : added;
    if (!added) {
      return std::unexpected(added.error());
    }
    std::copy(line->interpreter.begin(), line->interpreter.end(), interpreter.begin());
    path = {interpreter.data(), line->interpreter.size()};
    const auto next = resolve(root_of(process), *process.working_directory, path, true, &process);
    if (!next) {
      return std::unexpected(next.error());
    }
    node = *next;
  }
  return fail(ELOOP);
}

void reset_signal_actions(Process& process) {
  for (SignalAction& action : process.actions) {
    action = {action.handler == kIgnore ? kIgnore : kDefault, 0, 0, 0};
  }
}

std::int64_t become(Task& task, LoadedProgram& loaded, std::string_view name) {
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
  process.take_program_credentials(loaded.credentials);
  if (process.timers) {
    process.timers->remove_all();
  }
  reset_signal_actions(process);
  if (!enter_program(task, loaded)) {
    condemn_process(process, killed_by(kSignalKill));
    return kBlocked;
  }
  process.set_name(name);
  if (task.page != nullptr) {
    task.page->signal_mask = mask;
  }
  publish_signals(process);
  process.has_called_exec = true;
  process.exit_signal = kSignalChild;
  // What was closed may have ended the process (SIGHUP): the program then never runs.
  if (process.is_condemned || !start_task(task, loaded.start)) {
    condemn_process(process, killed_by(kSignalKill));
    return kBlocked;
  }
  process.memory_left.wake();
  return kBlocked;
}

// What comes with a program: arguments and environment, copied from the caller.
struct Words {
  StringList arguments;
  StringList environment;
};

Result<Words> read_words(Task& task, const Scratch& scratch, std::uint64_t arguments,
                         std::uint64_t environment) {
  AddressSpace& space = task.process->space();
  Words words;
  words.arguments = StringList(scratch.bytes(), kScriptSpace);
  if (const auto read = words.arguments.append_from(space, arguments); !read) {
    return std::unexpected(read.error());
  }
  if (words.arguments.unused().empty()) {
    return fail(E2BIG);
  }
  if (words.arguments.count() == 0) {
    words.arguments.append_empty();
  }
  words.environment = StringList(words.arguments.unused(), 0);
  if (const auto read = words.environment.append_from(space, environment); !read) {
    return std::unexpected(read.error());
  }
  return words;
}

std::int64_t execute(Task& task, const Target& target, Words& words) {
  auto loaded = load(task, target, words.arguments, words.environment);
  if (!loaded) {
    return -loaded.error().number;
  }
  if (task.process->descriptor_reference()->owners() > 1) {
    auto own = task.process->descriptors().copy();
    if (!own) {
      return -ENOMEM;
    }
    task.process->set_descriptors(std::move(own));
  }
  return become(task, *loaded, target.path.substr(target.path.rfind('/') + 1));
}

std::int64_t call_execve(Task& task) {
  PathText path;
  if (const auto read = read_path(task, task.arguments[0], path); !read) {
    return as_error(read);
  }
  if (path.text.empty()) {
    return -ENOENT;
  }
  const Scratch scratch;
  auto words = scratch ? read_words(task, scratch, task.arguments[1], task.arguments[2])
                       : Result<Words>(fail(ENOMEM));
  if (!words) {
    return as_error(words);
  }
  const auto node = find_node(task, kCurrentDirectory, task.arguments[0], true);
  return node ? execute(task, {*node, path.text}, *words) : as_error(node);
}

// The name of a program that is known by a descriptor: /dev/fd/N, and what comes after it.
std::string_view name_by_descriptor(std::uint64_t directory, std::string_view path,
                                    std::span<char> buffer) {
  if (path.starts_with('/') || static_cast<std::uint32_t>(directory) == kCurrentDirectory) {
    return path;
  }
  guest::TextWriter text(buffer);
  text.text("/dev/fd/").decimal(static_cast<std::uint32_t>(directory));
  if (!path.empty()) {
    text.put('/').text(path);
  }
  return text.view();
}

std::int64_t call_execveat(Task& task) {
  const auto [directory, address, arguments, environment, flags, unused] = task.arguments;
  static_cast<void>(unused);
  PathText path;
  if (const auto read = read_path(task, address, path); !read) {
    return as_error(read);
  }
  if (path.text.empty() && (flags & AT_EMPTY_PATH) == 0) {
    return -ENOENT;
  }
  const Scratch scratch;
  auto words =
      scratch ? read_words(task, scratch, arguments, environment) : Result<Words>(fail(ENOMEM));
  if (!words) {
    return as_error(words);
  }
  if ((flags & ~std::uint64_t{AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH}) != 0) {
    return -EINVAL;
  }
  const auto node = find_with_flags(task, directory, address, flags);
  if (!node) {
    return as_error(node);
  }
  if ((*node)->is_link()) {
    return -ELOOP;
  }
  std::array<char, kMaximumPath + 32> name;
  Target target = {*node, name_by_descriptor(directory, path.text, name)};
  // Where the descriptor does not outlive the call, an interpreter cannot open its file.
  target.is_reachable = target.path == path.text || !task.process->descriptors().close_on_exec(
                                                        static_cast<std::uint32_t>(directory));
  return execute(task, target, *words);
}

constexpr CallEntry kCalls[] = {
    {__NR_execve, call_execve},
    {__NR_execveat, call_execveat},
};

}  // namespace

std::span<const CallEntry> exec_calls() {
  return kCalls;
}

}  // namespace linux_server
