#include "vmm/vm.h"

#include <utility>

namespace ensemble::vmm {
namespace {

class IrqfdLine final : public InterruptLine {
 public:
  IrqfdLine(std::shared_ptr<Vm> vm, EventFd event) : vm_(std::move(vm)), event_(std::move(event)) {}

  void trigger() override { event_.signal(); }

 private:
  std::shared_ptr<Vm> vm_;  // KVM forgets the eventfd when it is closed.
  EventFd event_;
};

class KvmLevelLine final : public LevelInterruptLine {
 public:
  KvmLevelLine(std::shared_ptr<Vm> vm, uint32_t gsi) : vm_(std::move(vm)), gsi_(gsi) {}

  void set_level(bool high) override {
    if (high != high_) {
      high_ = high;
      kvm_irq_level request = {};
      request.irq = gsi_;
      request.level = high ? 1 : 0;
      ::ioctl(vm_->fd(), KVM_IRQ_LINE, &request);
    }
  }

 private:
  std::shared_ptr<Vm> vm_;
  const uint32_t gsi_;
  bool high_ = false;
};

kvm_ioeventfd describe(const DoorbellAddress& address, int fd) {
  kvm_ioeventfd request = {};
  request.addr = address.guest_address;
  request.len = address.length;
  request.fd = fd;
  if (address.value) {
    request.datamatch = *address.value;
    request.flags = KVM_IOEVENTFD_FLAG_DATAMATCH;
  }
  return request;
}

class IoeventfdDoorbell final : public Doorbell {
 public:
  IoeventfdDoorbell(std::shared_ptr<Vm> vm, const DoorbellAddress& address, EventFd event,
                    std::function<void()> handler)
      : vm_(std::move(vm)),
        address_(address),
        event_(std::move(event)),
        handler_(std::move(handler)) {}

  ~IoeventfdDoorbell() override {
    if (registered_) {
      kvm_ioeventfd request = describe(address_, event_.fd());
      request.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
      ::ioctl(vm_->fd(), KVM_IOEVENTFD, &request);
    }
  }

  Result<void> attach(EventLoop& loop) {
    auto watch = loop.watch(event_.fd(), EPOLLIN, [this](uint32_t) {
      event_.drain();
      handler_();
    });
    if (!watch) {
      return std::unexpected(watch.error());
    }
    watch_ = std::move(*watch);
    kvm_ioeventfd request = describe(address_, event_.fd());
    if (::ioctl(vm_->fd(), KVM_IOEVENTFD, &request) != 0) {
      return std::unexpected(Error::from_errno(
          fmt::format("cannot make a doorbell at {:#x}", address_.guest_address), errno));
    }
    registered_ = true;
    return {};
  }

 private:
  std::shared_ptr<Vm> vm_;
  DoorbellAddress address_;
  EventFd event_;
  std::function<void()> handler_;
  bool registered_ = false;
  FdWatch watch_;
};

}  // namespace

Result<std::shared_ptr<Vm>> Vm::create(std::shared_ptr<Kvm> kvm) {
  auto fd = kvm_ioctl(kvm->fd(), KVM_CREATE_VM, 0, "KVM cannot make a virtual machine");
  if (!fd) {
    return std::unexpected(fd.error());
  }
  return std::shared_ptr<Vm>(new Vm(std::move(kvm), FileDescriptor(*fd)));
}

Result<void> Vm::add_memory(const GuestMemory& memory) {
  const bool read_only_possible = kvm_->capability(KVM_CAP_READONLY_MEM) > 0;
  for (; memory_slots_ < memory.slots().size(); ++memory_slots_) {
    const MemorySlot& slot = memory.slots()[memory_slots_];
    kvm_userspace_memory_region region = {};
    region.slot = static_cast<uint32_t>(memory_slots_);
    region.guest_phys_addr = slot.guest_address;
    region.memory_size = slot.size;
    region.userspace_addr = reinterpret_cast<uintptr_t>(slot.host);
    // Without the capability the host's read-only mapping still refuses stores, but by an error
    // that stops the machine.
    region.flags = slot.read_only && read_only_possible ? KVM_MEM_READONLY : 0;
    if (auto set =
            kvm_ioctl(fd(), KVM_SET_USER_MEMORY_REGION, &region, "KVM refuses a memory slot");
        !set) {
      return std::unexpected(set.error().with_context(slot.name));
    }
  }
  return {};
}

Result<void> Vm::check_free(uint32_t gsi) const {
  if (gsi >= kGsiCount) {
    return fail("there is no interrupt pin {}: the I/O APIC has pins 0 to {}", gsi, kGsiCount - 1);
  }
  if (lines_.test(gsi)) {
    return fail("interrupt pin {} already belongs to another device", gsi);
  }
  return {};
}

Result<std::unique_ptr<LevelInterruptLine>> Vm::make_level_interrupt_line(uint32_t gsi) {
  if (auto checked = check_free(gsi); !checked) {
    return std::unexpected(checked.error());
  }
  lines_.set(gsi);
  return std::make_unique<KvmLevelLine>(shared_from_this(), gsi);
}

Result<std::unique_ptr<InterruptLine>> Vm::make_interrupt_line(uint32_t gsi) {
  if (auto checked = check_free(gsi); !checked) {
    return std::unexpected(checked.error());
  }
  auto event = EventFd::create();
  if (!event) {
    return std::unexpected(event.error());
  }
  kvm_irqfd request = {};
  request.fd = static_cast<uint32_t>(event->fd());
  request.gsi = gsi;
  if (auto set = kvm_ioctl(fd(), KVM_IRQFD, &request, "KVM refuses an irqfd"); !set) {
    return std::unexpected(set.error());
  }
  lines_.set(gsi);
  return std::make_unique<IrqfdLine>(shared_from_this(), std::move(*event));
}

Result<std::unique_ptr<Doorbell>> Vm::make_doorbell(EventLoop& loop, const DoorbellAddress& address,
                                                    std::function<void()> handler) {
  auto event = EventFd::create();
  if (!event) {
    return std::unexpected(event.error());
  }
  auto doorbell = std::make_unique<IoeventfdDoorbell>(shared_from_this(), address,
                                                      std::move(*event), std::move(handler));
  if (auto attached = doorbell->attach(loop); !attached) {
    return std::unexpected(attached.error());
  }
  return doorbell;
}

}  // namespace ensemble::vmm
