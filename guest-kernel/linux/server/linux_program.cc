#include <linux/auxvec.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include "guest-kernel/linux/server/initial_stack.h"
#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/server/path.h"
#include "guest-kernel/linux/server/program.h"
#include "guest-kernel/linux/server/server.h"
#include "guest-kernel/linux/server/shim_image.h"
#include "guest-kernel/linux/server/system_name.h"

// Starting a Linux program: its image, stack, shim and first thread.
namespace linux_server {
namespace {

// Zeroes behind a program's data that get their memory before they are touched: less than a fault.
constexpr std::uint64_t kZeroesAtOnce = 64 * 1024;

// Where position-independent programs go: near the stack and the shim, so that few page tables
// serve them all.
constexpr std::uint64_t kImageBase = 0x3fff'd000'0000;
constexpr std::uint64_t kClockTicks = 100;

std::uint64_t round_down(std::uint64_t value, std::uint64_t unit) {
  return value & ~(unit - 1);
}
std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return round_down(value + unit - 1, unit);
}

std::uint8_t protection_of(const guest::ElfSegment& segment) {
  return static_cast<std::uint8_t>((segment.readable ? 1 : 0) | (segment.writable ? 2 : 0) |
                                   (segment.executable ? 4 : 0));
}

// Zeroes what the file has behind a segment's bytes on their last page. One that may not be written
// to keeps it, as on Linux.
Result<void> clear_tail(AddressSpace& space, std::uint64_t start, std::uint64_t end) {
  while (start < end) {
    const auto piece = space.window(start, end - start, Access::kWrite);
    if (!piece) {
      return piece.error().number == EFAULT ? Result<void>{} : fail(piece.error().number);
    }
    std::memset(piece->data(), 0, piece->size());
    start += piece->size();
  }
  return {};
}

// The pages of a PT_LOAD that hold bytes of the file; zeroes up to the last page's end.
Result<void> add_file_part(AddressSpace& space, const Segment& segment,
                           const guest::ElfSegment& load) {
  Node& node = *segment.file;
  const std::uint64_t size = load.file_size + (load.address % abi::kPageSize);
  if (node.has_pages()) {
    const auto added = space.add_file(segment);
    return added && load.memory_size > load.file_size
               ? clear_tail(space, segment.start + size, segment.end)
               : added;
  }
  auto contents = node.contents().subspan(segment.file_offset);
  // The rest of the last page may show what follows in the file, as it does on Linux: no copy.
  const bool whole = !load.writable && load.memory_size == load.file_size;
  contents = contents.first(
      std::min<std::uint64_t>(whole ? round_up(size, abi::kPageSize) : size, contents.size()));
  return space.add_contents(segment, contents);
}

// Adds one PT_LOAD: its file's bytes and zeroes for the rest.
Result<void> add_segment(AddressSpace& space, Node& node, const guest::ElfSegment& load,
                         std::uint64_t base) {
  const std::uint64_t lead = load.address % abi::kPageSize;
  const std::uint64_t end = round_up(base + load.address + load.memory_size, abi::kPageSize);
  Segment segment;
  segment.start = base + load.address - lead;
  segment.end = load.file_size == 0
                    ? segment.start
                    : round_up(base + load.address + load.file_size, abi::kPageSize);
  segment.protection = protection_of(load);
  segment.use = SegmentUse::kFile;
  segment.file = &node;
  segment.file_offset = load.file_offset - lead;
  if (segment.end != segment.start) {
    if (const auto added = add_file_part(space, segment, load); !added) {
      return added;
    }
  }
  if (segment.end == end) {
    return {};
  }
  Segment zeroes;
  zeroes.start = segment.end;
  zeroes.end = end;
  zeroes.protection = segment.protection;
  // What is small is used soon.
  const bool at_once = zeroes.size() <= kZeroesAtOnce && memory_pool().is_plentiful(kZeroesAtOnce);
  return at_once ? space.add_memory(zeroes) : space.add(zeroes);
}

Result<void> add_image(AddressSpace& space, const Program& program, std::uint64_t base) {
  for (const guest::ElfSegment& load : program.image.segments()) {
    if (const auto added = add_segment(space, *program.node, load, base); !added) {
      // An address that is taken or not the program's to use is the file's fault.
      return std::unexpected(added.error());
    }
  }
  return {};
}

struct LoadedImage {
  std::uint64_t entry = 0;
  std::uint64_t base = 0;
  std::uint64_t interpreter_base = 0;
};

Result<Program> find_interpreter(const Program& program) {
  const std::string_view path = program.image.interpreter();
  if (program.viewer == nullptr) {
    return find_program(path);
  }
  Process& viewer = *program.viewer;
  const auto node = resolve(root_of(viewer), *viewer.working_directory, path, true, &viewer);
  if (!node) {
    return std::unexpected(node.error());
  }
  return is_allowed(viewer.credentials, (*node)->attributes(&viewer), kMayExecute)
             ? check_program(**node)
             : Result<Program>(fail(EACCES));
}

Result<LoadedImage> load(AddressSpace& space, const Program& program) {
  const guest::ElfImage& image = program.image;
  LoadedImage loaded;
  loaded.base = image.position_independent() ? kImageBase : 0;
  if (const auto added = add_image(space, program, loaded.base); !added) {
    return std::unexpected(added.error());
  }
  const auto heap = space.start_heap(round_up(loaded.base + image.end(), abi::kLargePageSize));
  if (!heap) {
    return std::unexpected(heap.error());
  }
  loaded.entry = loaded.base + image.entry();
  if (image.interpreter().empty()) {
    return loaded;
  }
  const auto interpreter = find_interpreter(program);
  if (!interpreter) {
    return fail(interpreter.error().number == ENOEXEC ? ELIBBAD : interpreter.error().number);
  }
  if (!interpreter->image.position_independent()) {
    return fail(ELIBBAD);
  }
  loaded.interpreter_base = space.find_range(interpreter->image.end(), 0);
  if (loaded.interpreter_base == 0) {
    return fail(ENOMEM);
  }
  if (const auto added = add_image(space, *interpreter, loaded.interpreter_base); !added) {
    return std::unexpected(added.error());
  }
  loaded.entry = loaded.interpreter_base + interpreter->image.entry();
  return loaded;
}

std::uint32_t hardware_capabilities() {
  std::uint32_t a = 1;
  std::uint32_t b = 0;
  std::uint32_t c = 0;
  std::uint32_t d = 0;
  asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return d;
}

Result<InitialStack> build_stack(const Program& program, const LoadedImage& loaded,
                                 const Arguments& arguments, const Arguments& environment,
                                 const ProgramCredentials& credentials,
                                 std::span<std::byte> stack) {
  const std::uint64_t headers = program.image.program_headers_address();
  const AuxiliaryValue values[] = {
      {AT_HWCAP, hardware_capabilities()},
      {AT_PAGESZ, abi::kPageSize},
      {AT_CLKTCK, kClockTicks},
      {AT_PHDR, headers == 0 ? 0 : loaded.base + headers},
      {AT_PHENT, 56},
      {AT_PHNUM, program.image.program_header_count()},
      {AT_BASE, loaded.interpreter_base},
      {AT_FLAGS, 0},
      {AT_ENTRY, loaded.base + program.image.entry()},
      {AT_UID, credentials.credentials.real_user},
      {AT_EUID, credentials.credentials.effective_user},
      {AT_GID, credentials.credentials.real_group},
      {AT_EGID, credentials.credentials.effective_group},
      {AT_SECURE, credentials.is_secure ? 1u : 0u},
      {AT_SYSINFO_EHDR, shim::kVdso},
  };
  std::array<std::byte, 16> random;
  server().random().fill(random);
  std::array<char, kMaximumPath> path;
  return build_initial_stack(stack, shim::kStackTop, arguments, environment,
                             program.called.empty() ? program.node->path(path) : program.called,
                             random, values);
}

// What XSAVE needs for all that the nucleus has enabled; 0: there is no XSAVE.
std::uint32_t vector_size() {
  constexpr std::uint32_t kEnabled = 1u << 27;  // OSXSAVE
  std::uint32_t a = 1;
  std::uint32_t b = 0;
  std::uint32_t c = 0;
  std::uint32_t d = 0;
  asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  if ((c & kEnabled) == 0) {
    return 0;
  }
  a = 0xd;
  c = 0;
  asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return b;
}

// Large where the arguments leave little of a plain block's stack.
std::uint64_t block_size(const Arguments& arguments, const Arguments& environment) {
  constexpr std::uint64_t kMostOfPlain = 32 * 1024;
  const std::uint64_t words = arguments.count + environment.count;
  const std::uint64_t size =
      arguments.text.size() + environment.text.size() + words * sizeof(std::uint64_t);
  return size <= kMostOfPlain ? shim::kBlockSize : shim::kLargeBlockSize;
}

// `stack_top`: the server's view of what is at shim::kStackTop.
void fill_shim_pages(std::byte* stack_top, ProcessMemory& memory, Node& executable,
                     std::uint64_t entry, std::uint64_t stack) {
  auto& page =
      *reinterpret_cast<shim::ProcessPage*>(stack_top + (shim::kProcessPage - shim::kStackTop));
  page.handler = shim_code().handler;
  std::memcpy(page.system_name, &system_name(), sizeof(page.system_name));
  page.has_rdrand = Random::has_rdrand() ? 1 : 0;
  static const std::uint32_t size = vector_size();
  page.vector_size = size;
  std::array<char, kMaximumPath> buffer;
  const std::string_view path = executable.path(buffer);
  if (path.size() <= sizeof(page.executable)) {
    page.executable_size = static_cast<std::uint32_t>(path.size());
    std::copy(path.begin(), path.end(), page.executable);
  }
  memory.shim_page = &page;
  memory.publish_heap();
  std::byte* const thread_page = stack_top + (shim::kThreadPage - shim::kStackTop);
  auto& thread = *reinterpret_cast<shim::ThreadPage*>(thread_page);
  thread.stack_top = shim::kThreadPage + abi::kPageSize;
  thread.descriptor_kinds = shim::kProcessPage + offsetof(shim::ProcessPage, descriptor_kinds);
  auto& frame = *reinterpret_cast<shim::Frame*>(thread_page + shim::kFrameOffset);
  constexpr std::uint64_t kPlainFlags = 0x202;
  frame.instruction = entry;
  frame.stack = stack;
  frame.flags = kPlainFlags;
}

}  // namespace

Result<LoadedProgram> load_linux_program(const Program& program, const Arguments& arguments,
                                         const Arguments& environment,
                                         const ProgramCredentials& credentials) {
  const auto memory = ProcessMemory::create({});
  if (!memory) {
    return std::unexpected(memory.error());
  }
  AddressSpace& space = (*memory)->space();
  const std::uint64_t size = block_size(arguments, environment);
  const std::uint64_t block = memory_pool().allocate_for_program(size);
  if (block == MemoryPool::kNone) {
    return fail(ENOMEM);
  }
  if (const auto added = space.add_process_block(block, size); !added) {
    return std::unexpected(added.error());
  }
  if (const auto mapped = map_shim(space); !mapped) {
    return std::unexpected(mapped.error());
  }
  const auto image = load(space, program);
  if (!image) {
    return std::unexpected(image.error());
  }
  std::byte* const view = memory_pool().at(block);
  const std::uint64_t stack_size = size - shim::kBlockPages;
  const auto stack =
      build_stack(program, *image, arguments, environment, credentials, {view, stack_size});
  if (!stack) {
    return std::unexpected(stack.error());
  }
  space.set_program(*program.node);
  fill_shim_pages(view + stack_size, **memory, *program.node, image->entry, stack->pointer);
  LoadedProgram loaded;
  loaded.memory = *memory;
  loaded.stack = *stack;
  loaded.node = program.node;
  loaded.start = {shim_code().start,
                  shim::kThreadPage + shim::kFrameOffset,
                  shim::kThreadPage,
                  guest::kApplicationPriority,
                  0,
                  false};
  return loaded;
}

}  // namespace linux_server
