#pragma once

#include <cstdint>
#include <optional>

#include "guest-kernel/composer/loader.h"
#include "guest-kernel/composer/services.h"
#include "guest-kernel/composer/system.h"

namespace composer {

// The program that keeps the file system of the first disk: a client of the block driver, in a
// domain of its own wherever the drivers are, for it reads what a hostile image says. It is not
// started again when it dies: what it had not committed is gone.
class FileSystem {
 public:
  // Finds the disk and the program, and takes memory, of which nothing is touched before the start.
  // False: there is no disk, or no room. `system` and `services` outlive this. Nothing can be
  // allocated of the composer's memory afterwards.
  bool plan(System& system, const Services& services);
  // After the disk's driver. kNotFound: none was planned.
  guest::Status start();
  // Maps what it shares with its client.
  guest::Status map_shared_memory(guest::Slot domain, std::uint64_t address) const;
  void end();

 private:
  void describe();
  guest::Status create_domain() const;

  const Services* services_ = nullptr;
  const Service* disk_ = nullptr;
  std::optional<Program> program_;
  Instance instance_;
  std::uint64_t memory_ = 0;  // offset in region kComposerMemory
  std::uint64_t memory_size_ = 0;
};

}  // namespace composer
