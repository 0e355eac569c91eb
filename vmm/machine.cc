#include "vmm/machine.h"

#include <sys/epoll.h>

#include <utility>

#include "vm_arch.h"
#include "vmm/kvm.h"
#include "vmm/vcpu.h"
#include "vmm/vm.h"

namespace ensemble::vmm {
namespace {

constexpr unsigned kVCpuLimit = 8;

// Releases the device lock for a while, if this thread holds it.
class DeviceLockRelease {
 public:
  explicit DeviceLockRelease(DeviceLock& lock) : lock_(lock), held_(lock.held_by_this_thread()) {
    if (held_) {
      lock_.unlock();
    }
  }
  ~DeviceLockRelease() {
    if (held_) {
      lock_.lock();
    }
  }
  DeviceLockRelease(const DeviceLockRelease&) = delete;
  DeviceLockRelease& operator=(const DeviceLockRelease&) = delete;

 private:
  DeviceLock& lock_;
  bool held_;
};

class Doorbells final : public DoorbellRegistry {
 public:
  Doorbells(std::shared_ptr<Vm> vm, EventLoop& loop) : vm_(std::move(vm)), loop_(loop) {}

  Result<std::unique_ptr<Doorbell>> add(const DoorbellAddress& address,
                                        std::function<void()> handler) override {
    return vm_->make_doorbell(loop_, address, std::move(handler));
  }

 private:
  std::shared_ptr<Vm> vm_;
  EventLoop& loop_;
};

}  // namespace

struct Machine::StopNotice {
  std::function<void(const StopReason&)> handler;
};

Result<std::unique_ptr<Machine>> Machine::create(const MachineOptions& options, EventLoop& loop) {
  if (options.vcpu_count < 1 || options.vcpu_count > kVCpuLimit) {
    return fail("a machine of {} CPUs is not possible: 1 to {} are", options.vcpu_count,
                kVCpuLimit);
  }
  auto memory = GuestMemory::create(options.memory_size);
  if (!memory) {
    return std::unexpected(memory.error());
  }
  auto kvm = Kvm::open(options.kvm_path);
  if (!kvm) {
    return std::unexpected(kvm.error());
  }
  auto vm = Vm::create(std::move(*kvm));
  if (!vm) {
    return std::unexpected(vm.error());
  }
  // Memory first: a VM without anything else in it takes a slot in no time, a later one may have to
  // wait for the host's other processors.
  if (auto added = (*vm)->add_memory(*memory); !added) {
    return std::unexpected(added.error());
  }
  if (auto made = arch::initialize_vm(**vm); !made) {
    return std::unexpected(made.error());
  }
  std::unique_ptr<Machine> machine(new Machine(loop, std::move(*memory), std::move(*vm)));
  if (auto made = machine->make_vcpus(options.vcpu_count); !made) {
    return std::unexpected(made.error());
  }
  return machine;
}

Machine::Machine(EventLoop& loop, GuestMemory memory, std::shared_ptr<Vm> vm)
    : loop_(loop),
      memory_(std::move(memory)),
      vm_(std::move(vm)),
      port_bus_("I/O ports", loop.device_lock()),
      mmio_bus_("device registers", loop.device_lock()),
      doorbells_(std::make_unique<Doorbells>(vm_, loop)),
      components_(arch::make_vm_components(vm_)),
      stop_notice_(std::make_shared<StopNotice>()) {}

Machine::~Machine() {
  stop({.kind = StopReason::Kind::kStoppedFromOutside});
  wait();
}

Result<void> Machine::make_vcpus(unsigned count) {
  for (unsigned index = 0; index < count; ++index) {
    VCpu::Context context{.vm = vm_,
                          .memory = memory_,
                          .port_bus = port_bus_,
                          .mmio_bus = mmio_bus_,
                          .control = control_,
                          .last_ended = [this] {
                            loop_.post([notice = std::weak_ptr(stop_notice_),
                                        reason = control_.reason().value_or(StopReason())] {
                              if (auto alive = notice.lock(); alive && alive->handler) {
                                std::exchange(alive->handler, nullptr)(reason);
                              }
                            });
                          }};
    auto vcpu = VCpu::create(std::move(context), index, count);
    if (!vcpu) {
      return std::unexpected(vcpu.error());
    }
    vcpus_.push_back(std::move(*vcpu));
  }
  return {};
}

Result<uint32_t> Machine::tsc_khz() const {
  return arch::tsc_khz(vcpus_.front()->fd());
}

Result<ClockSample> Machine::sample_clock() const {
  return arch::sample_clock(vcpus_.front()->fd());
}

Result<std::unique_ptr<InterruptLine>> Machine::make_interrupt_line(uint32_t gsi) {
  return vm_->make_interrupt_line(gsi);
}

Result<std::unique_ptr<LevelInterruptLine>> Machine::make_level_interrupt_line(uint32_t gsi) {
  return vm_->make_level_interrupt_line(gsi);
}

Result<void> Machine::load(const BootSource& source) {
  if (auto loaded = arch::load(memory_, source, vcpus_.front()->fd()); !loaded) {
    return loaded;
  }
  if (auto watched = watch_files(); !watched) {
    return watched;
  }
  return vm_->add_memory(memory_);
}

Result<void> Machine::watch_files() {
  const auto event = memory_.file_loss_event();
  if (!event) {
    return {};
  }
  auto watch = loop_.watch(*event, EPOLLIN, [this](uint32_t) {
    file_loss_watch_ = FdWatch();
    stop({.kind = StopReason::Kind::kInternalError,
          .detail = lost_file_text(memory_.lost_file().value_or("a mapped file"))});
  });
  if (!watch) {
    return std::unexpected(watch.error());
  }
  file_loss_watch_ = std::move(*watch);
  return {};
}

void Machine::set_stop_handler(std::function<void(const StopReason&)> handler) {
  stop_notice_->handler = std::move(handler);
}

Result<void> Machine::start() {
  if (started_ || state() == MachineState::kStopped) {
    return fail("the machine cannot be started a second time");
  }
  started_ = true;
  for (auto& vcpu : vcpus_) {
    if (auto made = vcpu->start_thread(); !made) {
      stop({.kind = StopReason::Kind::kInternalError, .detail = made.error().message()});
      return made;
    }
  }
  control_.command(RunControl::Command::kRun);
  return {};
}

Result<void> Machine::pause() {
  control_.command(RunControl::Command::kPause);
  {
    const DeviceLockRelease release(loop_.device_lock());
    control_.wait_until_paused();
  }
  if (const auto reason = control_.reason()) {
    return fail("the machine cannot be paused: {}", reason->to_string());
  }
  return {};
}

Result<void> Machine::resume() {
  if (!started_) {
    return fail("the machine cannot be resumed: it was never started");
  }
  control_.command(RunControl::Command::kRun);
  if (const auto reason = control_.reason()) {
    return fail("the machine cannot be resumed: {}", reason->to_string());
  }
  return {};
}

void Machine::stop(StopReason reason) {
  control_.stop(std::move(reason));
}

StopReason Machine::wait() {
  const DeviceLockRelease release(loop_.device_lock());
  control_.wait_until_ended();
  for (auto& vcpu : vcpus_) {
    vcpu->join();
  }
  return control_.reason().value_or(StopReason());
}

MachineState Machine::state() const {
  if (control_.ended()) {
    return MachineState::kStopped;
  }
  return control_.current() == RunControl::Command::kPause ? MachineState::kPaused
                                                           : MachineState::kRunning;
}

std::optional<StopReason> Machine::stop_reason() const {
  return control_.reason();
}

ExitCounts::Snapshot Machine::exit_counts(unsigned vcpu) const {
  return vcpus_.at(vcpu)->exits().snapshot();
}

std::chrono::nanoseconds Machine::processor_time(unsigned vcpu) const {
  return vcpus_.at(vcpu)->processor_time();
}

uint64_t Machine::denied_port_accesses() const {
  uint64_t total = 0;
  for (const auto& vcpu : vcpus_) {
    total += vcpu->exits().denied_port_accesses();
  }
  return total;
}

std::vector<Stateful*> Machine::stateful_components() {
  std::vector<Stateful*> all;
  all.reserve(vcpus_.size() + components_.size());
  for (const auto& vcpu : vcpus_) {
    all.push_back(vcpu.get());
  }
  for (const auto& component : components_) {
    all.push_back(component.get());
  }
  return all;
}

}  // namespace ensemble::vmm
