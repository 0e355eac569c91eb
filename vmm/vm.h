#pragma once

#include <bitset>
#include <cstdint>
#include <memory>
#include <span>

#include "vmm/doorbell.h"
#include "vmm/error.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"
#include "vmm/guest_memory.h"
#include "vmm/interrupt_line.h"
#include "vmm/kvm.h"

namespace ensemble::vmm {

// A VM of KVM: memory slots, interrupt lines and doorbells, without its vCPUs. Interrupt lines and
// doorbells share in its ownership.
class Vm : public std::enable_shared_from_this<Vm> {
 public:
  // Number of I/O APIC pins.
  static constexpr uint32_t kGsiCount = 24;

  static Result<std::shared_ptr<Vm>> create(std::shared_ptr<Kvm> kvm);

  int fd() const { return descriptor_.get(); }
  const Kvm& kvm() const { return *kvm_; }

  // Gives KVM the slots that it does not have yet. `memory` outlives every run of a vCPU.
  Result<void> add_memory(const GuestMemory& memory);

  // A line to the pin `gsi`, below kGsiCount; each only once.
  Result<std::unique_ptr<InterruptLine>> make_interrupt_line(uint32_t gsi);

  // The same for a device that holds its line until it is served.
  Result<std::unique_ptr<LevelInterruptLine>> make_level_interrupt_line(uint32_t gsi);

  // A doorbell whose handler runs on `loop`, which outlives it.
  Result<std::unique_ptr<Doorbell>> make_doorbell(EventLoop& loop, const DoorbellAddress& address,
                                                  std::function<void()> handler);

 private:
  Vm(std::shared_ptr<Kvm> kvm, FileDescriptor descriptor)
      : kvm_(std::move(kvm)), descriptor_(std::move(descriptor)) {}

  Result<void> check_free(uint32_t gsi) const;

  std::shared_ptr<Kvm> kvm_;
  FileDescriptor descriptor_;
  size_t memory_slots_ = 0;
  std::bitset<kGsiCount> lines_;
};

}  // namespace ensemble::vmm
