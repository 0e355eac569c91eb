#include "guest-kernel/lib/native_program.h"

#include <algorithm>
#include <cstring>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/server/program.h"
#include "guest-kernel/linux/server/server.h"

// Starting a native program: guest-kernel/lib/native_program.h is the agreement.
namespace linux_server {
namespace {

constexpr std::uint64_t kPage = abi::kPageSize;
constexpr std::uint64_t kImageAddress = 0x1000'0000;
constexpr std::uint64_t kPagesAddress = 0x2000'0000;
constexpr std::uint64_t kFreeAddress = 0x4000'0000;
constexpr std::uint8_t kProtectRead = 1;
constexpr std::uint8_t kProtectReadWrite = 3;

std::uint64_t round_up(std::uint64_t value) {
  return (value + kPage - 1) & ~(kPage - 1);
}

Result<guest::NativeNote> read_note(const Program& program) {
  const auto bytes = program.image.note(guest::kNativeNoteOwner, guest::kNativeNoteType);
  guest::NativeNote note = {};
  if (bytes.size() < sizeof(note)) {
    return fail(ENOEXEC);
  }
  std::memcpy(&note, bytes.data(), sizeof(note));
  const guest::NativeNote& most = guest::kNativeMaximum;
  if (note.version != most.version || note.memory_pages > most.memory_pages ||
      note.capability_slots > most.capability_slots ||
      note.kernel_memory_pages > most.kernel_memory_pages || note.stack_pages > most.stack_pages ||
      note.stack_pages == 0 || !program.image.position_independent()) {
    return fail(ENOEXEC);
  }
  return note;
}

Result<void> load(ProcessMemory& memory, const Program& program) {
  for (const guest::ElfSegment& load : program.image.segments()) {
    const std::uint64_t lead = load.address % kPage;
    Segment segment;
    segment.start = kImageAddress + load.address - lead;
    segment.end = round_up(kImageAddress + load.address + load.memory_size);
    segment.protection =
        static_cast<std::uint8_t>(1 | (load.writable ? 2 : 0) | (load.executable ? 4 : 0));
    segment.use = SegmentUse::kFile;
    segment.file = program.node->contents().empty() ? nullptr : program.node.get();
    segment.file_offset = load.file_offset - lead;
    const auto contents = load.file_size == 0 ? std::span<const std::byte>{}
                                              : program.file.bytes().subspan(segment.file_offset,
                                                                             load.file_size + lead);
    if (const auto added = memory.space().add_contents(segment, contents); !added) {
      return added;
    }
    // A native program knows nothing of pages that appear when touched.
    if (const auto touched = memory.space().window(segment.end - 1, 1, Access::kRead); !touched) {
      return std::unexpected(touched.error());
    }
  }
  return {};
}

// Contiguous memory of up to two large blocks.
std::uint64_t allocate_contiguous(std::uint64_t size) {
  if (size <= abi::kLargePageSize) {
    return memory_pool().allocate_for_program(size);
  }
  const std::uint64_t first = memory_pool().allocate_for_program(abi::kLargePageSize);
  const std::uint64_t second =
      memory_pool().allocate_for_program(round_up(size - abi::kLargePageSize));
  if (first != MemoryPool::kNone && second == first + abi::kLargePageSize) {
    return first;
  }
  if (first != MemoryPool::kNone) {
    memory_pool().free(first, abi::kLargePageSize);
  }
  if (second != MemoryPool::kNone) {
    memory_pool().free(second, round_up(size - abi::kLargePageSize));
  }
  return MemoryPool::kNone;
}

guest::Status give_memory(ProcessMemory& memory, std::uint64_t pages) {
  if (pages == 0) {
    return guest::Status::kOk;
  }
  const std::uint64_t offset = allocate_contiguous(pages * kPage);
  if (offset == MemoryPool::kNone) {
    return guest::Status::kNoMemory;
  }
  memory.granted_offset = offset;
  memory.granted_size = pages * kPage;
  const guest::Slot slot = server().allocate_slot();
  guest::Status status = guest::carve(slot, memory_pool().region(), offset, pages * kPage);
  if (status == guest::Status::kOk) {
    status = guest::copy_capability(memory.domain(), guest::kNativeMemory, slot);
    server().delete_slot(slot);
  } else {
    server().release_slot(slot);
  }
  return status;
}

struct Grant {
  guest::Role role;
  guest::Slot slot;
  std::uint64_t rights;
};
constexpr Grant kGrants[] = {
    {guest::Role::kInformation, guest::kNativeInformation, abi::kRightCall},
    {guest::Role::kDeviceTable, guest::kNativeDeviceTable, abi::kRightRead},
    {guest::Role::kManifest, guest::kNativeManifest, abi::kRightRead},
    {guest::Role::kMachine, guest::kNativeMachine, abi::kRightRead},
};

guest::Slot slot_of(guest::Role role) {
  const guest::Resource* resource = server().late_resource(role);
  return resource == nullptr ? guest::kNoSlot : resource->slot;
}

guest::Status give_capabilities(ProcessMemory& memory, std::uint64_t memory_pages) {
  constexpr std::uint64_t kSelfRights = abi::kAllRights & ~abi::kRightControl;
  guest::Status status = guest::delete_capability(memory.domain(), guest::kNativeSelf);
  if (status == guest::Status::kOk) {
    status =
        guest::copy_capability(memory.domain(), guest::kNativeSelf, memory.domain(), kSelfRights);
  }
  for (const Grant& grant : kGrants) {
    const guest::Slot own = slot_of(grant.role);
    if (own != guest::kNoSlot && status == guest::Status::kOk) {
      status = guest::copy_capability(memory.domain(), grant.slot, own, grant.rights);
    }
  }
  return status == guest::Status::kOk ? give_memory(memory, memory_pages) : status;
}

// The pages that the program finds: stack, start page and arguments, output.
Result<guest::ThreadStart> fill_pages(ProcessMemory& memory, const Program& program,
                                      const guest::NativeNote& note, const Arguments& arguments) {
  const std::uint64_t stack_size = note.stack_pages * kPage;
  const std::uint64_t start_size = kPage + round_up(arguments.text.size());
  const std::uint64_t total = stack_size + start_size + guest::kNativeOutputSize;
  const std::uint64_t offset =
      total < abi::kLargePageSize ? memory_pool().allocate_for_program(total) : MemoryPool::kNone;
  if (offset == MemoryPool::kNone) {
    return fail(total < abi::kLargePageSize ? ENOMEM : E2BIG);
  }
  const std::uint64_t start_address = kPagesAddress + kPage + stack_size;
  const std::uint64_t output_address = start_address + start_size;
  Segment segment;
  segment.backing = Backing::kMemory;
  segment.protection = kProtectReadWrite;
  segment.use = SegmentUse::kStack;
  segment.start = kPagesAddress + kPage;
  std::uint64_t placed = 0;  // bytes that the space has taken over
  const auto place = [&](std::uint64_t size) {
    segment.offset = offset + placed;
    segment.end = segment.start + size;
    const Result<void> added = memory.space().add(segment);
    placed += added ? size : 0;
    segment.start = segment.end;
    return added;
  };
  Result<void> added = place(stack_size);
  segment.use = SegmentUse::kAnonymous;
  segment.protection = kProtectRead;
  added = added ? place(start_size) : added;
  segment.protection = kProtectReadWrite;
  added = added ? place(guest::kNativeOutputSize) : added;
  if (!added) {
    memory_pool().free(offset + placed, total - placed);
    return std::unexpected(added.error());
  }
  memory.output_offset = offset + stack_size + start_size;
  std::byte* const pages = memory_pool().at(offset + stack_size);
  const auto size_of = [](guest::Role role) {
    const guest::Resource* resource = server().late_resource(role);
    return resource == nullptr ? std::uint64_t{0} : resource->size;
  };
  auto& start = *reinterpret_cast<guest::NativeStart*>(pages);
  start.version = 1;
  start.end_slot = note.capability_slots;
  start.processor_count = server().info().processor_count;
  start.argument_count = arguments.count;
  start.arguments = start_address + kPage;
  start.arguments_size = arguments.text.size();
  start.output = output_address;
  start.manifest_size = size_of(guest::Role::kManifest);
  start.device_table_size = size_of(guest::Role::kDeviceTable);
  start.free_address = kFreeAddress;
  start.stack_top = start_address;
  std::memcpy(pages + kPage, arguments.text.data(), arguments.text.size());
  return guest::ThreadStart{kImageAddress + program.image.entry(),
                            start_address,
                            start_address,
                            guest::kApplicationPriority,
                            0,
                            false};
}

}  // namespace

Result<LoadedProgram> load_native_program(const Program& program, const Arguments& arguments) {
  const auto note = read_note(program);
  if (!note) {
    return std::unexpected(note.error());
  }
  // A bare thread could look at the vector registers of whoever ran before.
  const bool trusted = server().is_from_boot_package(
      program.image.note(guest::kNativeNoteOwner, guest::kNativeNoteType));
  const auto memory = ProcessMemory::create(
      {.slots = note->capability_slots,
       .port = guest::kNativeServer,
       .native = true,
       .kernel_pages = note->kernel_memory_pages,
       .limits = {.highest_priority = guest::kApplicationPriority, .bare = trusted}});
  if (!memory) {
    return std::unexpected(memory.error());
  }
  if (const auto filled = load(**memory, program); !filled) {
    return std::unexpected(filled.error());
  }
  const auto start = fill_pages(**memory, program, *note, arguments);
  if (!start) {
    return std::unexpected(start.error());
  }
  if (give_capabilities(**memory, note->memory_pages) != guest::Status::kOk) {
    return fail(ENOMEM);
  }
  LoadedProgram loaded;
  loaded.memory = *memory;
  loaded.start = *start;
  loaded.node = program.node;
  return loaded;
}

}  // namespace linux_server
