#include "vmm/vcpu.h"

#include <pthread.h>
#include <sys/mman.h>
#include <time.h>

#include <cerrno>
#include <csignal>
#include <system_error>
#include <utility>

#include "vcpu_arch.h"

namespace ensemble::vmm {
namespace {

int kick_signal() {
  return SIGRTMIN;
}

// The handler does nothing: that the signal is not ignored is what makes KVM_RUN return.
void install_kick_handler() {
  static const bool installed = [] {
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    ::sigaction(kick_signal(), &action, nullptr);
    return true;
  }();
  (void)installed;
}

// For a thread's lifetime from its creation: all signals blocked but the kick, so that signals to
// the process reach the thread that expects them.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    ::sigfillset(&all);
    ::sigdelset(&all, kick_signal());
    ::sigdelset(&all, SIGBUS);  // A read of a mapped file whose contents are gone: MappedFile.
    ::pthread_sigmask(SIG_SETMASK, &all, &previous_);
  }
  ~BlockedSignals() { ::pthread_sigmask(SIG_SETMASK, &previous_, nullptr); }

 private:
  sigset_t previous_;
};

std::chrono::nanoseconds to_nanoseconds(const timespec& time) {
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

const char* suberror_name(uint32_t suberror) {
  switch (suberror) {
    case KVM_INTERNAL_ERROR_EMULATION:
      return "KVM cannot emulate an instruction";
    case KVM_INTERNAL_ERROR_SIMUL_EX:
      return "KVM met exceptions at the same time";
    case KVM_INTERNAL_ERROR_DELIVERY_EV:
      return "KVM cannot deliver an event";
    case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
      return "KVM met an exit that it does not know";
    default:
      return "KVM met an internal error";
  }
}

}  // namespace

VCpu::RunArea::RunArea(RunArea&& other) noexcept
    : address_(std::exchange(other.address_, nullptr)), size_(other.size_) {}

VCpu::RunArea& VCpu::RunArea::operator=(RunArea&& other) noexcept {
  std::swap(address_, other.address_);
  std::swap(size_, other.size_);
  return *this;
}

VCpu::RunArea::~RunArea() {
  if (address_ != nullptr) {
    ::munmap(address_, size_);
  }
}

Result<VCpu::RunArea> VCpu::RunArea::map(int vcpu_fd, size_t size) {
  void* address = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_fd, 0);
  if (address == MAP_FAILED) {
    return std::unexpected(Error::from_errno("cannot map the run area of a vCPU", errno));
  }
  RunArea area;
  area.address_ = address;
  area.size_ = size;
  return area;
}

Result<std::unique_ptr<VCpu>> VCpu::create(Context context, unsigned index, unsigned count) {
  auto fd = kvm_ioctl(context.vm->fd(), KVM_CREATE_VCPU, index, "KVM cannot make another vCPU");
  if (!fd) {
    return std::unexpected(fd.error());
  }
  FileDescriptor descriptor(*fd);
  const Kvm& kvm = context.vm->kvm();
  auto run = RunArea::map(descriptor.get(), kvm.run_area_size());
  if (!run) {
    return std::unexpected(run.error());
  }
  if (auto done = arch::initialize_vcpu(kvm, descriptor.get(), **run, index, count); !done) {
    return std::unexpected(done.error().with_context(fmt::format("vCPU {}", index)));
  }
  return std::unique_ptr<VCpu>(
      new VCpu(std::move(context), index, std::move(descriptor), std::move(*run)));
}

VCpu::VCpu(Context context, unsigned index, FileDescriptor descriptor, RunArea run)
    : context_(std::move(context)),
      index_(index),
      descriptor_(std::move(descriptor)),
      run_(std::move(run)) {
  install_kick_handler();
}

VCpu::~VCpu() {
  join();
}

Result<void> VCpu::start_thread() {
  return context_.control.add_thread(
      [this]() -> Result<void> {
        const BlockedSignals blocked;
        try {
          thread_ = std::thread([this] { thread_main(); });
        } catch (const std::system_error& error) {
          return fail("cannot make a thread for vCPU {}: {}", index_, error.what());
        }
        ::pthread_setname_np(thread_.native_handle(), fmt::format("vcpu{}", index_).c_str());
        return {};
      },
      [this] { kick(); });
}

void VCpu::join() {
  if (thread_.joinable()) {
    thread_.join();
  }
}

std::chrono::nanoseconds VCpu::processor_time() const {
  std::chrono::nanoseconds final(final_time_.load(std::memory_order_acquire));
  clockid_t clock{};
  timespec used{};
  if (final.count() != 0 || !thread_.joinable()) {
    return final;
  }
  // Fails for a thread that has ended meanwhile: what it has left is there then.
  if (::pthread_getcpuclockid(const_cast<std::thread&>(thread_).native_handle(), &clock) == 0 &&
      ::clock_gettime(clock, &used) == 0) {
    return to_nanoseconds(used);
  }
  return std::chrono::nanoseconds(final_time_.load(std::memory_order_acquire));
}

void VCpu::kick() {
  __atomic_store_n(&run_->immediate_exit, uint8_t{1}, __ATOMIC_SEQ_CST);
  // The thread may have ended, but is not joined while kicks come: the handle is valid.
  ::pthread_kill(thread_.native_handle(), kick_signal());
}

void VCpu::thread_main() {
  const auto clear = [this] {
    __atomic_store_n(&run_->immediate_exit, uint8_t{0}, __ATOMIC_SEQ_CST);
  };
  while (context_.control.wait_to_run(clear)) {
    if (!run_once()) {
      break;
    }
  }
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  final_time_.store(to_nanoseconds(used).count(), std::memory_order_release);
  if (context_.control.thread_ended()) {
    context_.last_ended();
  }
}

bool VCpu::run_once() {
  // An exit is answered by entering again, even when paused or stopped in between: KVM then
  // completes the access, sees immediate_exit, and returns EINTR.
  for (;;) {
    if (::ioctl(fd(), KVM_RUN, 0) == 0) {
      if (!handle_exit()) {
        return false;
      }
      continue;
    }
    const int error = errno;
    if (error == EINTR) {
      exits_.count(ExitReason::kInterrupted);
      return true;
    }
    if (error == EFAULT) {
      // So hardware KVM tells that memory of the guest's has no contents.
      if (const auto lost = context_.memory.lost_file()) {
        exits_.count(ExitReason::kInternalError);
        return stop(StopReason::Kind::kInternalError, lost_file_text(*lost));
      }
    }
    if (error != EAGAIN) {
      exits_.count(ExitReason::kInternalError);
      return stop(StopReason::Kind::kInternalError,
                  fmt::format("{} {}", Error::from_errno("KVM cannot run it", error).message(),
                              arch::describe_position(fd(), context_.memory)));
    }
  }
}

bool VCpu::handle_exit() {
  switch (run_->exit_reason) {
    case KVM_EXIT_MMIO:
      handle_mmio();
      return true;
    case KVM_EXIT_IO:
      arch::handle_port_exit(*run_, context_.port_bus, exits_);
      return true;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
      return true;
    case KVM_EXIT_SHUTDOWN:
      exits_.count(ExitReason::kShutdown);
      return stop(
          StopReason::Kind::kTripleFault,
          fmt::format("it triple-faulted {}", arch::describe_position(fd(), context_.memory)));
    case KVM_EXIT_SYSTEM_EVENT:
      exits_.count(ExitReason::kSystemEvent);
      return handle_system_event();
    case KVM_EXIT_INTERNAL_ERROR:
      exits_.count(ExitReason::kInternalError);
      return stop(StopReason::Kind::kInternalError,
                  fmt::format("{} {}", suberror_name(run_->internal.suberror),
                              arch::describe_position(fd(), context_.memory)));
    case KVM_EXIT_FAIL_ENTRY:
      exits_.count(ExitReason::kInternalError);
      return stop(StopReason::Kind::kInternalError,
                  fmt::format("the CPU refuses to enter it, reason {:#x}, {}",
                              run_->fail_entry.hardware_entry_failure_reason,
                              arch::describe_position(fd(), context_.memory)));
    default:
      exits_.count(ExitReason::kOther);
      return stop(StopReason::Kind::kInternalError,
                  fmt::format("KVM stopped it for reason {}, which needs no handling here, {}",
                              run_->exit_reason, arch::describe_position(fd(), context_.memory)));
  }
}

void VCpu::handle_mmio() {
  auto& mmio = run_->mmio;
  const std::span data(reinterpret_cast<std::byte*>(mmio.data),
                       std::min<size_t>(mmio.len, sizeof(mmio.data)));
  if (mmio.is_write != 0) {
    exits_.count(ExitReason::kMmioWrite);
    context_.mmio_bus.write(mmio.phys_addr, data);
  } else {
    exits_.count(ExitReason::kMmioRead);
    context_.mmio_bus.read(mmio.phys_addr, data);
  }
}

bool VCpu::handle_system_event() {
  switch (run_->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
      return stop(StopReason::Kind::kPowerOff, "");
    case KVM_SYSTEM_EVENT_RESET:
      return stop(StopReason::Kind::kResetRequested, "");
    default:
      return stop(StopReason::Kind::kInternalError,
                  fmt::format("KVM reports system event {}", run_->system_event.type));
  }
}

bool VCpu::stop(StopReason::Kind kind, std::string detail) {
  if (!detail.empty()) {
    detail = fmt::format("vCPU {}: {}", index_, detail);
  }
  context_.control.stop({.kind = kind, .detail = std::move(detail)});
  return false;
}

std::string VCpu::state_tag() const {
  return fmt::format("vcpu{}", index_);
}

Result<void> VCpu::save(StateWriter& writer) const {
  return arch::save_vcpu(context_.vm->kvm(), fd(), writer);
}

Result<void> VCpu::restore(StateReader& reader, uint32_t) {
  return arch::restore_vcpu(context_.vm->kvm(), fd(), reader);
}

}  // namespace ensemble::vmm
