#include <cstdint>

#include "descriptor_tables.h"
#include "guest-kernel/abi/boot_info.h"
#include "guest-kernel/abi/layout.h"
#include "guest-kernel/nucleus/boot_modules.h"
#include "guest-kernel/nucleus/composer_image.h"
#include "guest-kernel/nucleus/kernel_memory.h"
#include "guest-kernel/nucleus/panic.h"
#include "guest-kernel/nucleus/region.h"
#include "guest-kernel/nucleus/root_objects.h"
#include "instructions.h"
#include "local_apic.h"
#include "page_table.h"
#include "processor.h"
#include "vector_state.h"

namespace nucleus {
namespace {

using abi::kPageSize;

constexpr unsigned kComposerPriority = 16;
constexpr std::uint64_t kComposerSlots = 1024;
// Kept back from the composer's quota: processor blocks, regions that nobody pays for.
constexpr std::uint64_t kReservedPages = 64;

std::uint64_t pages_up(std::uint64_t size) {
  return (size + kPageSize - 1) & ~(kPageSize - 1);
}

// 1/32 of the memory, 2 to 64 MiB.
std::uint64_t kernel_pool_size(std::uint64_t memory) {
  constexpr std::uint64_t kLeast = 2 << 20;
  constexpr std::uint64_t kMost = 64 << 20;
  const std::uint64_t share = (memory / 32) & ~(kPageSize - 1);
  return share < kLeast ? kLeast : share > kMost ? kMost : share;
}

void give_region(Domain& composer, abi::ComposerSlot slot, std::uint64_t base, std::uint64_t size,
                 std::uint64_t rights, bool device = false) {
  if (size == 0) {
    return;
  }
  Region* region = create_region(nullptr, base, pages_up(size), device);
  if (region == nullptr) {
    panic("no memory for the first regions");
  }
  fill_slot(composer.slots[slot], region, rights, 0);
}

void give_root_capabilities(Domain& composer, const BootModules& boot, std::uint64_t memory_base) {
  using namespace abi;
  constexpr std::uint64_t kReadWrite = kRightRead | kRightWrite;
  constexpr std::uint64_t kReadExecute = kRightRead | kRightExecute;
  fill_slot(composer.slots[kComposerMachine], &machine_object, kAllRights, 0);
  fill_slot(composer.slots[kComposerInterrupts], &interrupt_control_object, kAllRights, 0);
  Region* ports = create_io_ports(nullptr, 0, 0x10000);
  if (ports == nullptr) {
    panic("no memory for the first objects");
  }
  fill_slot(composer.slots[kComposerPorts], ports, kReadWrite, 0);
  give_region(composer, kComposerTimePage, time_page_address(), kPageSize, kReadWrite);
  if (boot.command_line != 0) {
    // The string may cross into a second page.
    give_region(composer, kComposerCommandLine, boot.command_line & ~(kPageSize - 1), 2 * kPageSize,
                kRightRead);
  }
  give_region(composer, kComposerBootPackage, boot.package.address, boot.package.size,
              kReadWrite | kRightExecute);
  give_region(composer, kComposerManifest, boot.manifest.address, boot.manifest.size, kRightRead);
  give_region(composer, kComposerRoot, boot.root.address, boot.root.size, kReadExecute);
  constexpr std::uint64_t kDeviceMemory = 0xc000'0000;
  give_region(composer, kComposerDeviceMemory, kDeviceMemory, 0x4000'0000, kReadWrite, true);
  give_region(composer, kComposerMemory, memory_base, boot.free_end - memory_base, kAllRights);
  give_region(composer, kComposerHighMemory, boot.high_base, boot.high_size, kAllRights);
}

}  // namespace

// From boot.S, on the boot processor: `start_info` is a physical address. Returns the composer's
// thread, ready to run.
extern "C" Thread* nucleus_start(std::uint64_t start_info, std::uint64_t entry_tsc) {
  Processor& processor = *initialize_boot_processor();
  initialize_interrupt_table();
  load_processor(processor);
  protect_kernel_image();
  write_cr3(kernel_page_table());
  const VectorState vectors = probe_and_patch(processor);
  load_system_call_entry();
  initialize_vector_state(machine_interpreted, vectors.components, vectors.size);
  initialize_local_apic();
  processor.apic_id = local_apic_id();

  const BootModules boot = find_boot_modules(start_info);
  const std::uint64_t pool_end = boot.free_start + kernel_pool_size(boot.total_memory);
  if (pool_end >= boot.free_end || pool_end > kDirectMapSize ||
      !map_physical(boot.package.address, boot.package.size)) {
    panic("no room for the kernel's memory below 1 GiB: free from, to", boot.free_start,
          boot.free_end);
  }
  initialize_kernel_memory(boot.free_start, pool_end);
  if (machine_interpreted) {
    open_pool_window(boot.free_start, pool_end);
  }
  Domain* composer = create_domain(nullptr, kComposerSlots, total_kernel_pages() - kReservedPages);
  if (composer != nullptr) {
    composer->highest_priority = abi::kPriorities - 1;
    composer->may_make_bare = true;
  }
  Thread* thread = composer != nullptr ? create_thread(composer, composer, false) : nullptr;
  auto* info = static_cast<abi::BootInfo*>(allocate_kernel_memory(kPageSize));
  if (thread == nullptr || info == nullptr) {
    panic("no memory for the composer");
  }
  std::uint64_t memory_base = pool_end;
  const ComposerImage image = map_composer(*composer, boot.package, info, memory_base);
  memory_base = pages_up(memory_base);
  give_root_capabilities(*composer, boot, memory_base);

  info->version = 1;
  info->flags = machine_interpreted ? abi::kMachineInterpreted : 0;
  info->entry_tsc = entry_tsc;
  info->command_line_offset =
      boot.command_line != 0 ? boot.command_line & (kPageSize - 1) : ~std::uint64_t{0};
  info->memory_base = memory_base;
  info->memory_size = boot.free_end - memory_base;
  info->high_memory_base = boot.high_base;
  info->high_memory_size = boot.high_size;
  info->boot_package = boot.package;
  info->manifest = boot.manifest;
  info->root = boot.root;
  info->composer_size = image.size;
  info->total_memory = boot.total_memory;

  thread->frame.rip = image.entry;
  thread->frame.rsp = abi::kComposerStackTop;
  thread->frame.rdi = abi::kComposerBootInfo;
  thread->priority = kComposerPriority;
  thread->pinned = &processor;
  thread->state = ThreadState::kRunning;
  switch_to(processor, *thread);
  info->first_user_tsc = read_tsc();
  return thread;
}

}  // namespace nucleus
