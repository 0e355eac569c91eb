#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vmm/boot_source.h"
#include "vmm/bus.h"
#include "vmm/clock_sample.h"
#include "vmm/doorbell.h"
#include "vmm/error.h"
#include "vmm/event_loop.h"
#include "vmm/exit_counts.h"
#include "vmm/guest_memory.h"
#include "vmm/interrupt_line.h"
#include "vmm/run_control.h"
#include "vmm/state.h"
#include "vmm/stop_reason.h"

namespace ensemble::vmm {

class VCpu;
class Vm;

struct MachineOptions {
  uint64_t memory_size = 0;  // Bytes; see GuestMemory::create.
  unsigned vcpu_count = 1;   // 1 to 8.
  std::string kvm_path = "/dev/kvm";
};

enum class MachineState {
  kPaused,   // No vCPU runs. A new machine is paused.
  kRunning,  // vCPUs run.
  kStopped,  // For good; see StopReason.
};

// A virtual machine: memory, vCPUs with a thread each, buses, and the in-kernel interrupt
// controller. Made, loaded, given its devices, then started.
//
// To reset a machine, destroy it and its devices and make them anew on the same event loop.
//
// Methods are for one controlling thread (usually the event loop's) unless said otherwise. Those
// that wait for vCPU threads (pause, wait, the destructor) release the device lock meanwhile if the
// caller holds it, as a loop handler does; so a device must not call them.
class Machine {
 public:
  // Opens KVM and makes the VM and its vCPUs. `loop` outlives the machine; its device lock is the
  // machine's.
  static Result<std::unique_ptr<Machine>> create(const MachineOptions& options, EventLoop& loop);

  // Stops the machine and joins its threads. The devices on the buses must still exist; doorbells
  // and interrupt lines may outlive the machine.
  ~Machine();

  GuestMemory& memory() { return memory_; }
  Bus& mmio_bus() { return mmio_bus_; }
  Bus& port_bus() { return port_bus_; }
  EventLoop& event_loop() { return loop_; }
  DoorbellRegistry& doorbells() { return *doorbells_; }
  unsigned vcpu_count() const { return static_cast<unsigned>(vcpus_.size()); }

  // Frequency of the guest's time-stamp counter in kHz.
  Result<uint32_t> tsc_khz() const;

  // The guest's time-stamp counter and the host's clock at one moment. While paused or stopped.
  Result<ClockSample> sample_clock() const;

  // An edge-triggered line to the I/O APIC pin `gsi` (0 to 23). Each pin only once.
  Result<std::unique_ptr<InterruptLine>> make_interrupt_line(uint32_t gsi);

  // A level-triggered line to such a pin.
  Result<std::unique_ptr<LevelInterruptLine>> make_level_interrupt_line(uint32_t gsi);

  // Puts kernel, modules and start information into memory and vCPU 0 at the kernel's entry. Call
  // once, before start.
  Result<void> load(const BootSource& source);

  // Called on the event loop, once, after the machine has stopped and no vCPU runs any more; not if
  // it was never started, or is destroyed first. Set before start.
  void set_stop_handler(std::function<void(const StopReason&)> handler);

  // Paused to Running, the first time.
  Result<void> start();

  // Running to Paused: returns once every vCPU is out of the guest with no register access half
  // done. Does nothing when paused; an Error when stopped.
  Result<void> pause();

  // Paused to Running. Does nothing when running; an Error when stopped or never started.
  Result<void> resume();

  // Asks the machine to stop; returns at once. The first reason counts. Any thread, a device's
  // register access included.
  void stop(StopReason reason);

  // Waits until the machine has stopped and its vCPU threads have ended.
  StopReason wait();

  // Any thread.
  MachineState state() const;

  // Present once the machine has been asked to stop. Any thread.
  std::optional<StopReason> stop_reason() const;

  // Any thread.
  ExitCounts::Snapshot exit_counts(unsigned vcpu) const;

  // Processor time that a vCPU's thread has used.
  std::chrono::nanoseconds processor_time(unsigned vcpu) const;

  // Port accesses of all vCPUs that were ignored because ring 3 made them. Any thread.
  uint64_t denied_port_accesses() const;

  // The machine's own components with state: vCPUs, interrupt controller, clock. Not memory, not
  // devices. Save and restore them while paused.
  std::vector<Stateful*> stateful_components();

 private:
  struct StopNotice;

  Machine(EventLoop& loop, GuestMemory memory, std::shared_ptr<Vm> vm);
  Result<void> make_vcpus(unsigned count);
  Result<void> watch_files();

  EventLoop& loop_;
  GuestMemory memory_;
  std::shared_ptr<Vm> vm_;
  Bus port_bus_;
  Bus mmio_bus_;
  std::unique_ptr<DoorbellRegistry> doorbells_;
  std::vector<std::unique_ptr<Stateful>> components_;
  RunControl control_;
  FdWatch file_loss_watch_;
  std::shared_ptr<StopNotice> stop_notice_;  // Shared with what is posted to the loop.
  bool started_ = false;
  std::vector<std::unique_ptr<VCpu>> vcpus_;  // First to be destroyed: their threads use the rest.
};

}  // namespace ensemble::vmm
