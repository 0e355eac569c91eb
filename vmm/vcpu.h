#pragma once

#include <linux/kvm.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "vmm/bus.h"
#include "vmm/error.h"
#include "vmm/exit_counts.h"
#include "vmm/file_descriptor.h"
#include "vmm/run_control.h"
#include "vmm/state.h"
#include "vmm/vm.h"

namespace ensemble::vmm {

// A virtual CPU and the thread that runs it.
//
// A kick is a real-time signal to the thread plus `immediate_exit`: if the thread is in KVM_RUN the
// signal interrupts it, and if it is about to enter, KVM sees `immediate_exit` and returns at once.
// Only the thread itself clears `immediate_exit`, under RunControl's lock.
class VCpu final : public Stateful {
 public:
  struct Context {
    std::shared_ptr<Vm> vm;
    const GuestMemory& memory;
    Bus& port_bus;
    Bus& mmio_bus;
    RunControl& control;               // These four outlive the vCPU.
    std::function<void()> last_ended;  // Called by the last thread of the machine as it ends.
  };

  // Makes vCPU `index` of `count`, with its registers as after a reset.
  static Result<std::unique_ptr<VCpu>> create(Context context, unsigned index, unsigned count);

  // Joins the thread, which RunControl must have stopped.
  ~VCpu() override;

  int fd() const { return descriptor_.get(); }

  // Makes the thread and adds it to RunControl.
  Result<void> start_thread();
  void join();

  const ExitCounts& exits() const { return exits_; }

  // Processor time of its thread, in the guest and around it; zero before start_thread(). For the
  // thread that started it.
  std::chrono::nanoseconds processor_time() const;

  std::string state_tag() const override;
  uint32_t state_version() const override { return 1; }
  Result<void> save(StateWriter& writer) const override;
  Result<void> restore(StateReader& reader, uint32_t version) override;

 private:
  // KVM's shared run area, unmapped at the end.
  class RunArea {
   public:
    RunArea() = default;
    RunArea(RunArea&& other) noexcept;
    RunArea& operator=(RunArea&& other) noexcept;
    ~RunArea();
    static Result<RunArea> map(int vcpu_fd, size_t size);
    kvm_run* operator->() const { return static_cast<kvm_run*>(address_); }
    kvm_run& operator*() const { return *static_cast<kvm_run*>(address_); }

   private:
    void* address_ = nullptr;
    size_t size_ = 0;
  };

  VCpu(Context context, unsigned index, FileDescriptor descriptor, RunArea run);

  void thread_main();
  // Enters the guest once. False: the thread ends.
  bool run_once();
  // Acts on an exit. False: the machine has been stopped because of it.
  bool handle_exit();
  void handle_mmio();
  bool handle_system_event();
  void kick();
  bool stop(StopReason::Kind kind, std::string detail);

  Context context_;
  unsigned index_;
  FileDescriptor descriptor_;
  RunArea run_;
  ExitCounts exits_;
  std::atomic<std::int64_t> final_time_ = 0;  // processor_time() of a thread that has ended, in ns.
  std::thread thread_;
};

}  // namespace ensemble::vmm
