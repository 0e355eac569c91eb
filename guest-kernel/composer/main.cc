#include <array>
#include <cstring>
#include <span>

#include "guest-kernel/abi/boot_info.h"
#include "guest-kernel/abi/layout.h"
#include "guest-kernel/composer/address_map.h"
#include "guest-kernel/composer/command_line.h"
#include "guest-kernel/composer/manifest.h"
#include "guest-kernel/composer/server.h"
#include "guest-kernel/composer/services.h"
#include "guest-kernel/composer/supervisor.h"
#include "guest-kernel/composer/system.h"
#include "guest-kernel/composer/time.h"
#include "guest-kernel/lib/cpio.h"

namespace composer {
namespace {

using guest::Status;

constexpr std::uint64_t page_up(std::uint64_t value) {
  return (value + abi::kPageSize - 1) & ~(abi::kPageSize - 1);
}

// The native tools are the archive's last entries.
constexpr std::string_view kToolDirectory = "bin/";

// Too large for the stack.
constinit System system_state;
constinit Services services;
constinit LinuxServer server;
std::array<char, 2 * abi::kPageSize> arguments;

// What libfdt's stack protector reads at %fs:0x28 (System V ABI, thread control block).
struct alignas(16) ThreadBlock {
  std::array<std::uint64_t, 6> words;
} thread_block;

void check(Status status, std::string_view what) {
  if (status != Status::kOk) {
    system_state.power.fail(what, guest::status_name(status));
  }
}

void check(const char* wrong, std::string_view what) {
  if (wrong != nullptr) {
    system_state.power.fail(what, wrong);
  }
}

// libfdt was compiled with a stack protector.
void read_tree(std::span<const std::byte> tree) {
  check(guest::set_thread_bases(guest::kNoSlot, reinterpret_cast<std::uint64_t>(&thread_block), 0),
        "the composer has no thread block");
  check(read_manifest(tree, system_state.machine), "bad manifest");
}

void read_machine(const abi::BootInfo& boot) {
  if (boot.manifest.size > kManifestSize) {
    system_state.power.fail("the manifest is larger than 448 KiB");
  }
  if (boot.manifest.size != 0) {
    check(guest::map(abi::kSelfSlot, kManifestAddress, abi::kComposerManifest, 0,
                     page_up(boot.manifest.size), abi::kRightRead),
          "the manifest cannot be mapped");
    read_tree({reinterpret_cast<const std::byte*>(kManifestAddress), boot.manifest.size});
    return;
  }
  if (boot.command_line_offset == ~std::uint64_t{0}) {
    system_state.power.fail("there is neither a manifest nor a command line");
  }
  check(guest::map(abi::kSelfSlot, kManifestAddress, abi::kComposerCommandLine, 0,
                   2 * abi::kPageSize, abi::kRightRead),
        "the command line cannot be mapped");
  const char* text = reinterpret_cast<const char*>(kManifestAddress) + boot.command_line_offset;
  const std::size_t room = 2 * abi::kPageSize - boot.command_line_offset;
  const std::string_view line(text, strnlen(text, room));
  if (!system_state.packed_manifest.empty()) {
    read_tree(system_state.packed_manifest);
    check(read_announced_devices(line, system_state.machine), "bad command line");
  } else {
    check(read_command_line(line, arguments, system_state.machine), "bad command line");
  }
}

// A loader that passes one module only may have put a manifest between the archive and the root
// file system, in pages of its own. Returns where the root begins.
std::uint64_t find_packed_manifest(std::span<const std::byte> rest, std::uint64_t at) {
  const auto word = [&](std::size_t index) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < sizeof value; ++i) {
      value = value << 8 | std::to_integer<std::uint32_t>(rest[at + index * sizeof value + i]);
    }
    return value;
  };
  constexpr std::uint32_t kTreeMagic = 0xd00d'feed;
  if (rest.size() - at < abi::kPageSize || word(0) != kTreeMagic) {
    return at;
  }
  const std::uint64_t size = word(1);
  if (size > rest.size() - at || size > kManifestSize) {
    system_state.power.fail("the boot package's manifest is cut off, or larger than 448 KiB");
  }
  system_state.packed_manifest = rest.subspan(at, size);
  return at + page_up(size);
}

// Maps the boot package's archive, finds its end, and what a loader may have put after it.
void find_archive(const abi::BootInfo& boot) {
  if (boot.composer_size >= boot.boot_package.size) {
    system_state.power.fail("the boot package has no archive");
  }
  const std::uint64_t size = boot.boot_package.size - boot.composer_size;
  const std::uint64_t address =
      size <= kSmallPackageSize ? kSmallPackageAddress : kLargePackageAddress;
  check(guest::map(abi::kSelfSlot, address, abi::kComposerBootPackage, boot.composer_size,
                   page_up(size), abi::kRightRead),
        "the boot package cannot be mapped");
  const std::span rest(reinterpret_cast<const std::byte*>(address), size);
  guest::CpioReader reader(rest);
  std::uint64_t before = 0;
  std::uint64_t tools = rest.size();
  while (const auto entry = reader.next()) {
    if (tools == rest.size() && entry->name.starts_with(kToolDirectory)) {
      tools = before;
    }
    before = reader.position();
  }
  if (reader.error() != guest::CpioError::kNone) {
    system_state.power.fail("bad boot package", guest::cpio_error_text(reader.error()));
  }
  const std::uint64_t end = page_up(reader.position());
  system_state.archive_offset = boot.composer_size;
  system_state.archive = rest.first(end < rest.size() ? end : rest.size());
  system_state.tools_offset = tools < system_state.archive.size() ? tools : 0;
  if (end >= rest.size()) {
    return;
  }
  const std::uint64_t root = boot.manifest.size == 0 ? find_packed_manifest(rest, end) : end;
  system_state.manifest_offset = boot.composer_size + end;
  if (boot.root.size == 0 && root < rest.size()) {
    system_state.root_offset = boot.composer_size + root;
  }
}

void make_device_table(const abi::BootInfo& boot) {
  std::uint64_t windows = 1;
  for (const Device& device : system_state.machine.devices) {
    windows += device.compatible == "virtio,device2" || device.compatible.empty() ? 1 : 0;
  }
  if (!system_state.memory.initialize(boot, windows)) {
    system_state.power.fail("the composer's memory cannot be mapped");
  }
  const auto block = system_state.memory.allocate(guest::kDeviceTableSize);
  if (!block) {
    system_state.power.fail("too little memory for the device table");
  }
  system_state.device_table_block = *block;
  auto* table = reinterpret_cast<guest::DeviceTable*>(block->bytes.data());
  table->version = 1;
  table->processor_count = static_cast<std::uint32_t>(system_state.machine.apic_ids.size());
  table->processors_running = 1;
  table->total_memory = boot.total_memory;
  table->tsc_frequency = system_state.machine.tsc_frequency;
  table->kernel_entry_tsc = boot.entry_tsc;
  table->first_user_tsc = boot.first_user_tsc;
  system_state.device_table = table;
}

// The boot processor is the first; the others start while the command is being loaded. One that
// does not start is missed, not fatal.
void start_processors() {
  const auto& apic_ids = system_state.machine.apic_ids;
  for (std::size_t i = 1; i < apic_ids.size(); ++i) {
    if (const auto index = guest::start_processor(abi::kComposerMachine, apic_ids[i])) {
      system_state.device_table->processors_running = static_cast<std::uint32_t>(*index) + 1;
    }
  }
}

[[noreturn]] void run(const abi::BootInfo& boot) {
  system_state.boot = &boot;
  // What ends the machine is known once the manifest is read: that comes first where it can.
  if (boot.manifest.size == 0) {
    find_archive(boot);
  }
  read_machine(boot);
  check(publish_time(system_state.machine, boot.entry_tsc), "no clock");
  if (boot.manifest.size != 0) {
    find_archive(boot);
  }
  make_device_table(boot);
  check(guest::create_port(kOwnPortSlot), "the composer has no port");
  check(guest::create_port(kServerPortSlot), "the Linux server has no port");
  services.start(system_state);
  if (services.console() == nullptr) {
    system_state.power.fail("the machine has no console that a driver of the boot package drives");
  }
  check(server.start(system_state, services), "the Linux server does not start");
  start_processors();
  Supervisor(system_state, services, server).run();
}

}  // namespace
}  // namespace composer

extern "C" [[noreturn]] void program_main(const abi::BootInfo& boot) {
  composer::run(boot);
}
