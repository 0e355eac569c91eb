#include "guest-kernel/linux/server/program.h"

#include <array>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/lib/clock.h"
#include "guest-kernel/lib/format.h"
#include "guest-kernel/lib/native_program.h"
#include "guest-kernel/linux/server/path.h"
#include "guest-kernel/linux/server/process_table.h"
#include "guest-kernel/linux/server/server.h"

namespace linux_server {
namespace {

constexpr std::array<std::string_view, 4> kSearchPath = {"/bin/", "/usr/bin/", "/sbin/",
                                                         "/usr/sbin/"};

}  // namespace

Result<Program> check_program(Node& node) {
  if (node.type() != kRegularFile || !node.is_executable()) {
    return fail(EACCES);
  }
  const auto file = FileBytes::of(node);
  if (!file) {
    return std::unexpected(file.error());
  }
  const auto image = guest::ElfImage::parse_head(file->bytes(), file->size(), abi::kUserEnd);
  return image ? Result<Program>(Program{Reference<Node>(&node), *image, *file}) : fail(ENOEXEC);
}

Result<Program> find_program(std::string_view name) {
  Node& root = server().root();
  if (name.find('/') != std::string_view::npos) {
    const auto node = resolve(root, root, name, true, nullptr);
    return node ? check_program(**node) : std::unexpected(node.error());
  }
  Result<Program> result = fail(ENOENT);
  for (const std::string_view directory : kSearchPath) {
    std::array<char, kMaximumPath> buffer;
    guest::TextWriter path(buffer);
    path.text(directory).text(name);
    const auto node = path.cut() || name.empty() ? Result<Reference<Node>>(fail(ENOENT))
                                                 : resolve(root, root, path.view(), true, nullptr);
    if (node) {
      result = check_program(**node);
      if (result || result.error().number == ENOEXEC) {
        return result;
      }
    }
  }
  return result;
}

bool is_native(const Program& program) {
  return !program.image.note(guest::kNativeNoteOwner, guest::kNativeNoteType).empty();
}

Result<LoadedProgram> load_program(const Program& program, const Arguments& arguments,
                                   const Arguments& environment,
                                   const ProgramCredentials& credentials) {
  auto loaded = is_native(program)
                    ? program.file.is_whole() ? load_native_program(program, arguments)
                                              : Result<LoadedProgram>(fail(ENOEXEC))
                    : load_linux_program(program, arguments, environment, credentials);
  if (loaded) {
    loaded->credentials = credentials;
  }
  return loaded;
}

bool enter_program(Task& task, LoadedProgram& loaded) {
  Process& process = *task.process;
  end_thread_of(task);
  task.page = nullptr;
  if (process.has_memory()) {
    process.resident_maximum = std::max(process.resident_maximum, process.space().resident());
  }
  process.descriptors().publish(nullptr);
  process.set_memory(loaded.memory);
  process.publish_limits();
  process.executable = loaded.node;
  process.set_name(loaded.node->name());
  process.arguments_start = loaded.stack.arguments_start;
  process.arguments_end = loaded.stack.arguments_end;
  process.environment_start = loaded.stack.environment_start;
  process.environment_end = loaded.stack.environment_end;
  process.auxiliary_start = loaded.stack.auxiliary_start;
  process.auxiliary_end = loaded.stack.auxiliary_end;
  process.stack_start = loaded.stack.pointer;
  if (!process.native()) {
    const auto page = process.memory().find_thread_page(shim::kThreadPage);
    if (!page) {
      return false;
    }
    task.page_address = page->address;
    task.page = page->view;
    task.page->task = task.index;
    task.page->thread_id = task.id;
    task.page->process_id = process.id();
    publish_parent(process);
    process.descriptors().publish(process.memory().shim_page);
  }
  return true;
}

Result<void> start_first_process(const Program& program, const FirstCommand& command) {
  auto loaded = load_program(program, command.arguments, command.environment, ProgramCredentials{});
  if (!loaded) {
    return std::unexpected(loaded.error());
  }
  const auto process = create_process(nullptr, loaded->memory);
  const auto task = process ? create_task(**process) : Result<Task*>(fail(ENOMEM));
  Reference<DescriptorTable> descriptors(new DescriptorTable());
  if (!task || !descriptors) {
    return fail(ENOMEM);
  }
  Node& root = server().root();
  (*process)->working_directory = command.directory;
  (*process)->set_descriptors(descriptors);
  (*process)->started_ns = guest::monotonic_ns();
  const auto console = resolve(root, root, "/dev/console", true, *process);
  for (std::size_t number = 0; console && number < 3; ++number) {
    constexpr std::uint32_t kReadAndWrite = 2;  // O_RDWR
    const auto file = number == 0 ? (*console)->open(kReadAndWrite, **process)
                                  : Result<Reference<File>>(descriptors->find(0));
    if (!file || descriptors->add(*file, false) < 0) {
      return fail(ENOMEM);
    }
  }
  return enter_program(**task, *loaded) && start_task(**task, loaded->start) ? Result<void>{}
                                                                             : fail(ENOMEM);
}

}  // namespace linux_server
