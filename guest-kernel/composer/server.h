#pragma once

#include <cstdint>

#include "guest-kernel/composer/file_system.h"
#include "guest-kernel/composer/loader.h"
#include "guest-kernel/composer/services.h"
#include "guest-kernel/composer/system.h"
#include "guest-kernel/lib/fixed_vector.h"

namespace composer {

// The Linux server: what it is given, and when. What a command does not need to start is deferred,
// because each capability costs the boot a system call.
class LinuxServer {
 public:
  // Starts it with what is left of the machine. Returns nullptr, or a sentence that says what
  // failed. The console's driver has been started; `system` and `services` outlive this.
  const char* start(System& system, Services& services);

  // Starts the other drivers and gives the server what was deferred.
  guest::Status complete();
  // Starts the driver of the chip that has `slot` of the server's, and gives the server its port
  // and their shared memory. Again does nothing.
  guest::Status start_driver(guest::Slot slot);
  // The program that keeps the disk's file system took a fault.
  void end_file_system() { file_system_.end(); }

 private:
  // A capability to copy into the server's slot `to`.
  struct Gift {
    guest::Slot to = guest::kNoSlot;
    guest::Slot own = guest::kNoSlot;
    std::uint64_t rights = 0;
    std::uint64_t badge = 0;
  };

  struct Chip {
    guest::Slot to = guest::kNoSlot;
    std::size_t service = 0;
    bool is_given = false;
  };

  void describe(const guest::Resource& resource);
  void give(guest::Resource resource, guest::Slot own, std::uint64_t rights,
            std::uint64_t badge = abi::kKeepBadge);
  void defer(guest::Resource resource, guest::Slot own, std::uint64_t rights,
             std::uint64_t badge = abi::kKeepBadge);
  void check(guest::Status status);

  guest::Status create_domain();
  void give_memory();
  void give_root();
  void map_boot_archive();
  void give_drivers();
  void map_shared_memory(const Service& service);
  void describe_chips();
  void defer_file_system();
  void defer_information();
  void give_command(const Machine& machine);

  System* system_ = nullptr;
  Services* services_ = nullptr;
  Instance instance_;
  guest::Slot next_ = 0;
  guest::Status status_ = guest::Status::kOk;
  guest::FixedVector<Gift, guest::StartInfo::kMaximumResources> deferred_;
  guest::FixedVector<Chip, kMaximumDevices> chips_;
  FileSystem file_system_;
  bool complete_ = false;
};

}  // namespace composer
