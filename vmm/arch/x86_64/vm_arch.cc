#include "vm_arch.h"

#include <array>

#include "kernel_file.h"
#include "kvm_list.h"
#include "linux_loader.h"
#include "memory_map.h"
#include "pvh_loader.h"
#include "vmm/kvm_kind.h"

namespace ensemble::vmm::arch {
namespace {

// Three pages that Intel's KVM wants for itself, in the hole below 4 GiB, away from all devices.
constexpr unsigned long kTssAddress = 0xfffbd000;

constexpr uint32_t kTscMsr = 0x10;

// The two 8259s and the I/O APIC. The local APICs belong to the vCPUs.
class InterruptController final : public Stateful {
 public:
  explicit InterruptController(std::shared_ptr<Vm> vm) : vm_(std::move(vm)) {}

  std::string state_tag() const override { return "interrupt-controller"; }
  uint32_t state_version() const override { return 1; }

  Result<void> save(StateWriter& writer) const override {
    for (uint32_t id = 0; id < kChipCount; ++id) {
      kvm_irqchip chip = {};
      chip.chip_id = id;
      if (auto got =
              kvm_ioctl(vm_->fd(), KVM_GET_IRQCHIP, &chip, "cannot read the interrupt controller");
          !got) {
        return std::unexpected(got.error());
      }
      writer.object(chip);
    }
    return {};
  }

  Result<void> restore(StateReader& reader, uint32_t) override {
    std::array<kvm_irqchip, kChipCount> chips;
    for (uint32_t id = 0; id < kChipCount; ++id) {
      chips[id] = reader.object<kvm_irqchip>();
      if (reader.status() && chips[id].chip_id != id) {
        return fail("holds interrupt controller {} where {} was expected",
                    uint32_t{chips[id].chip_id}, id);
      }
    }
    if (auto finished = reader.finish(); !finished) {
      return finished;
    }
    for (kvm_irqchip& chip : chips) {
      if (auto set =
              kvm_ioctl(vm_->fd(), KVM_SET_IRQCHIP, &chip, "cannot set the interrupt controller");
          !set) {
        return std::unexpected(set.error());
      }
    }
    return {};
  }

 private:
  static constexpr uint32_t kChipCount = 3;

  std::shared_ptr<Vm> vm_;
};

// KVM's clock for guests that ask for it (kvmclock).
class Clock final : public Stateful {
 public:
  explicit Clock(std::shared_ptr<Vm> vm) : vm_(std::move(vm)) {}

  std::string state_tag() const override { return "clock"; }
  uint32_t state_version() const override { return 1; }

  Result<void> save(StateWriter& writer) const override {
    kvm_clock_data data = {};
    if (auto got = kvm_ioctl(vm_->fd(), KVM_GET_CLOCK, &data, "cannot read the clock"); !got) {
      return std::unexpected(got.error());
    }
    writer.u64(data.clock);
    return {};
  }

  Result<void> restore(StateReader& reader, uint32_t) override {
    kvm_clock_data data = {};
    data.clock = reader.u64();
    if (auto finished = reader.finish(); !finished) {
      return finished;
    }
    if (auto set = kvm_ioctl(vm_->fd(), KVM_SET_CLOCK, &data, "cannot set the clock"); !set) {
      return std::unexpected(set.error());
    }
    return {};
  }

 private:
  std::shared_ptr<Vm> vm_;
};

// Each GSI leads to the I/O APIC pin of its number, and nowhere else.
Result<void> set_routing(const Vm& vm) {
  RoutingList routing(Vm::kGsiCount);
  for (uint32_t gsi = 0; gsi < Vm::kGsiCount; ++gsi) {
    kvm_irq_routing_entry& entry = routing.entries()[gsi];
    entry.gsi = gsi;
    entry.type = KVM_IRQ_ROUTING_IRQCHIP;
    entry.u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
    entry.u.irqchip.pin = gsi;
  }
  if (auto set = kvm_ioctl(vm.fd(), kSetGsiRouting, routing.data(), "KVM refuses interrupt routes");
      !set) {
    return std::unexpected(set.error());
  }
  return {};
}

Result<void> place_acpi_tables(const GuestMemory& memory, const AcpiTables& tables) {
  const uint64_t size = tables.contents.size();
  if (size == 0) {
    return {};
  }
  if (tables.address < kLegacyHoleStart || tables.address >= kLegacyHoleEnd ||
      size > kLegacyHoleEnd - tables.address) {
    return fail("the ACPI tables at {:#x} with {} bytes do not lie in the range {:#x} to {:#x}",
                tables.address, size, kLegacyHoleStart, kLegacyHoleEnd);
  }
  return memory.write(tables.address, tables.contents);
}

// Linux uses instructions in ring 0 that an interpreter lacks, and would take minutes to start.
Result<void> check_linux_can_run(const std::string& kernel) {
  if (detect_ring0() == Ring0::kNative) {
    return {};
  }
  return fail(
      "{} is Linux, which this host's KVM cannot run: its module {} interprets a guest's ring 0, "
      "and lacks instructions that Linux uses there. Use a host whose processor virtualizes "
      "(kvm_intel, kvm_amd), or leave the kernel out: Ensemble's own runs Linux programs here",
      kernel, kvm_module_name());
}

}  // namespace

Result<void> initialize_vm(const Vm& vm) {
  if (auto set = kvm_ioctl(vm.fd(), KVM_SET_TSS_ADDR, kTssAddress, "KVM refuses its TSS address");
      !set) {
    return std::unexpected(set.error());
  }
  if (auto made =
          kvm_ioctl(vm.fd(), KVM_CREATE_IRQCHIP, 0, "KVM cannot make an interrupt controller");
      !made) {
    return std::unexpected(made.error());
  }
  return set_routing(vm);
}

std::vector<std::unique_ptr<Stateful>> make_vm_components(std::shared_ptr<Vm> vm) {
  std::vector<std::unique_ptr<Stateful>> components;
  components.push_back(std::make_unique<InterruptController>(vm));
  components.push_back(std::make_unique<Clock>(std::move(vm)));
  return components;
}

Result<void> load(GuestMemory& memory, const BootSource& source, int vcpu_fd) {
  const auto kernel = read_kernel_file(source.kernel_path);
  if (!kernel) {
    return std::unexpected(kernel.error());
  }
  if (auto placed = place_acpi_tables(memory, source.acpi); !placed) {
    return placed;
  }
  if (is_linux_image(kernel->contents)) {
    const auto entry = load_linux(memory, source, *kernel);
    if (!entry) {
      return std::unexpected(entry.error());
    }
    auto possible = check_linux_can_run(kernel->label);
    return possible ? enter_linux(vcpu_fd, *entry) : possible;
  }
  const auto entry = load_pvh(memory, source, *kernel);
  if (!entry) {
    return std::unexpected(entry.error());
  }
  if (entry->is_linux) {
    if (auto possible = check_linux_can_run(kernel->label); !possible) {
      return possible;
    }
  }
  return enter_pvh(vcpu_fd, *entry);
}

Result<uint32_t> tsc_khz(int vcpu_fd) {
  auto khz = kvm_ioctl(vcpu_fd, KVM_GET_TSC_KHZ, 0, "KVM does not tell the TSC's frequency");
  if (!khz) {
    return std::unexpected(khz.error());
  }
  return static_cast<uint32_t>(*khz);
}

Result<ClockSample> sample_clock(int vcpu_fd) {
  MsrList request(1);
  request.entries()[0].index = kTscMsr;
  auto got = kvm_ioctl(vcpu_fd, kGetMsrs, request.data(), "cannot read the guest's TSC");
  const auto now = std::chrono::steady_clock::now();
  if (!got) {
    return std::unexpected(got.error());
  }
  if (*got != 1) {
    return fail("KVM does not tell the guest's TSC");
  }
  return ClockSample{.guest_tsc = request.entries()[0].data, .host_time = now};
}

}  // namespace ensemble::vmm::arch
