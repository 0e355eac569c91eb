#include "guest-kernel/composer/file_system.h"

#include <algorithm>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/composer/address_map.h"
#include "guest-kernel/drivers/driver_protocol.h"
#include "guest-kernel/ext4/protocol.h"
#include "guest-kernel/ext4/role.h"

namespace composer {
namespace {

using guest::Role;
using guest::Slot;
using guest::Status;

constexpr std::string_view kProgram = "file-systems/ext4";
constexpr std::uint64_t kLeastMemory = 3 * abi::kLargePageSize;
constexpr std::uint64_t kMostMemory = 4 * abi::kLargePageSize;
constexpr std::uint64_t kSlots = 64;
constexpr std::uint64_t kKernelPages = 20;
// Slots that it finds.
enum : Slot { kGivenPort = 16, kGivenDisk, kGivenClient, kGivenEnd };

constexpr std::uint64_t kReadWrite = abi::kRightRead | abi::kRightWrite;

std::uint64_t shared_size() {
  return (ext4::kSharedSize + abi::kPageSize - 1) & ~(abi::kPageSize - 1);
}

}  // namespace

bool FileSystem::plan(System& system, const Services& services) {
  services_ = &services;
  for (const Service& service : services.all()) {
    if (service.kind->role == Role::kBlock) {
      disk_ = &service;
      break;
    }
  }
  if (disk_ == nullptr) {
    return false;
  }
  const char* reason = nullptr;
  program_ = find_program(system.archive, system.archive_offset, kProgram, kFileSystemSize, reason);
  if (!program_) {
    return false;
  }
  const auto instance =
      make_instance(system.memory, *program_, kFileSystemAddress, shared_size(), kFileSystemSize);
  // Large disks have large bitmaps.
  memory_size_ =
      std::clamp(system.memory.remaining() / 32 / abi::kLargePageSize * abi::kLargePageSize,
                 kLeastMemory, kMostMemory);
  const auto memory = instance ? system.memory.reserve(memory_size_) : std::nullopt;
  if (!memory) {
    program_.reset();
    return false;
  }
  instance_ = *instance;
  memory_ = *memory;
  return true;
}

void FileSystem::describe() {
  guest::StartInfo& info = instance_.info();
  info.version = 1;
  info.first_free_slot = kGivenEnd;
  info.end_slot = kSlots;
  info.resources[0] = {Role::kOwnPort, 0, kGivenPort, 0, 0, 0};
  info.resources[1] = {
      Role::kBlock, 0, kGivenDisk, kFileSystemDiskAddress, disk_->kind->shared_size, 0};
  info.resources[2] = {Role::kSharedMemory, 0,
                       guest::kNoSlot,      instance_.address_of(instance_.extra_offset),
                       shared_size(),       0};
  info.resources[3] = {Role::kMemory, 0, guest::kNoSlot, kFileSystemMemoryAddress, memory_size_, 0};
  info.resources[4] = {Role::kClient, 0, kGivenClient, 0, 0, 0};
  info.resource_count = 5;
}

Status FileSystem::create_domain() const {
  Status status = guest::create_domain(kFileSystemDomainSlot, kSlots, kKernelPages);
  const auto then = [&status](auto&& step) {
    if (status == Status::kOk) {
      status = step();
    }
  };
  then([] { return guest::create_port(kFileSystemPortSlot); });
  then([] {
    return guest::copy_capability(abi::kSelfSlot, kFileSystemFaultSlot, kOwnPortSlot,
                                  abi::kRightCall, kFileSystemFaultBadge);
  });
  then([] { return guest::set_fault_port(kFileSystemDomainSlot, kFileSystemFaultSlot); });
  then([] {
    return guest::copy_capability(kFileSystemDomainSlot, kGivenPort, kFileSystemPortSlot,
                                  abi::kRightReceive);
  });
  then([&] {
    return guest::copy_capability(kFileSystemDomainSlot, kGivenDisk, disk_->port(), abi::kRightCall,
                                  driver::kClientSignal);
  });
  then([] {
    return guest::copy_capability(kFileSystemDomainSlot, kGivenClient, kServerPortSlot,
                                  abi::kRightSignal, ext4::kCommitSignal);
  });
  then([&] { return map_instance(kFileSystemDomainSlot, *program_, instance_); });
  then([&] {
    return guest::map(kFileSystemDomainSlot, kFileSystemDiskAddress, abi::kComposerMemory,
                      services_->shared_memory_offset(*disk_), disk_->kind->shared_size,
                      kReadWrite);
  });
  then([&] {
    return guest::map(kFileSystemDomainSlot, kFileSystemMemoryAddress, abi::kComposerMemory,
                      memory_, memory_size_, kReadWrite);
  });
  return status;
}

Status FileSystem::start() {
  if (!program_) {
    return Status::kNotFound;
  }
  fill_instance(*program_, instance_, false);
  describe();
  if (const Status status = create_domain(); status != Status::kOk) {
    return status;
  }
  // Before the programs, which wait for it.
  return guest::create_thread(
      guest::kNoSlot, kFileSystemDomainSlot,
      {instance_.base + program_->image.entry(), instance_.address_of(instance_.stack_size),
       instance_.address_of(instance_.info_offset), guest::kComposerPriority});
}

Status FileSystem::map_shared_memory(Slot domain, std::uint64_t address) const {
  return guest::map(domain, address, abi::kComposerMemory,
                    instance_.block.offset + instance_.extra_offset, shared_size(), kReadWrite);
}

void FileSystem::end() {
  guest::end_domain(kFileSystemDomainSlot);
  guest::delete_capability(abi::kSelfSlot, kFileSystemDomainSlot);
}

}  // namespace composer
