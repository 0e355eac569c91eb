#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "guest-kernel/lib/system_call.h"
#include "guest-kernel/linux/server/address_space.h"
#include "guest-kernel/linux/server/descriptor_table.h"
#include "guest-kernel/linux/server/growing_array.h"
#include "guest-kernel/linux/server/reference.h"
#include "guest-kernel/linux/server/task.h"
#include "guest-kernel/linux/shim/layout.h"

namespace linux_server {

// What sigaction(2) records.
struct SignalAction {
  std::uint64_t handler;
  std::uint64_t flags;
  std::uint64_t restorer;
  std::uint64_t mask;
};

// One Linux process: its protection domain, addresses, descriptors and identity. Owned by the
// process table.
class Process {
 public:
  static constexpr std::size_t kSignals = 64;

  Process(std::uint32_t id, guest::Slot domain, guest::Slot root,
          std::span<const std::byte> archive)
      : id_(id), domain_(domain), space_(domain, root, archive) {
    task_.process = this;
    task_.id = id;
  }

  std::uint32_t id() const { return id_; }
  guest::Slot domain() const { return domain_; }
  AddressSpace& space() { return space_; }
  const AddressSpace& space() const { return space_; }
  Task& task() { return task_; }
  const Task& task() const { return task_; }

  DescriptorTable& descriptors() { return *descriptors_; }
  void set_descriptors(Reference<DescriptorTable> table) { descriptors_ = std::move(table); }

  // The name that ps shows: 15 bytes of the program's.
  std::string_view name() const { return {name_.data(), name_size_}; }
  void set_name(std::string_view name);

  // Tells the shim where the heap ends.
  void publish_heap();

  shim::ProcessPage* shim_page = nullptr;  // the server's view; null: a native program
  Node* working_directory = nullptr;
  Node* executable = nullptr;
  std::uint32_t file_mode_mask = 022;
  // Where the arguments and the environment lie, for /proc/self.
  std::uint64_t arguments_start = 0, arguments_end = 0;
  std::uint64_t environment_start = 0, environment_end = 0;
  std::uint64_t auxiliary_start = 0, auxiliary_end = 0;
  std::uint64_t stack_start = 0;
  std::uint64_t started_ns = 0;  // monotonic
  std::uint64_t page_faults = 0;
  std::uint64_t calls = 0;
  std::array<SignalAction, kSignals + 1> actions = {};

  // Of a native program: its output page, and the memory that it got as a capability, as offsets in
  // the memory pool.
  bool native = false;
  std::uint64_t output_offset = 0;
  std::uint64_t granted_offset = 0;
  std::uint64_t granted_size = 0;

 private:
  std::uint32_t id_;
  guest::Slot domain_;
  AddressSpace space_;
  Task task_;
  Reference<DescriptorTable> descriptors_;
  std::array<char, 16> name_ = {};
  std::size_t name_size_ = 0;
};

}  // namespace linux_server
