#include <spdlog/spdlog.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "control/assembled_machine.h"
#include "control/connected_devices.h"
#include "control/memory_figures.h"

// What is measured of an assembled machine.

namespace ensemble::control {
namespace {

namespace proto = ensemble::vmm::v1;

// Of proto::Measurements.
constexpr std::uint32_t kMeasurementsVersion = 1;

std::uint64_t read_clock(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(time.tv_nsec);
}

}  // namespace

proto::Measurements AssembledMachine::measure(const proto::Configuration& configuration) const {
  proto::Measurements measurements;
  // The clock of a vCPU that runs is read once it comes out of the guest, which may be never.
  if (machine_->state() != vmm::MachineState::kRunning) {
    measure_milestones(*measurements.mutable_milestones(), configuration.started_at_ns());
  }
  if (configuration.measure_memory()) {
    measure_memory(*measurements.mutable_memory());
  }
  if (machine_control_) {
    for (const auto& [number, count] : machine_control_->missed_calls()) {
      proto::MissedCall& missed = *measurements.add_missed_calls();
      missed.set_number(number);
      missed.set_count(count);
    }
  }
  measure_counters(configuration, measurements);
  if (balloon_ != nullptr) {
    *measurements.mutable_balloon() =
        measure_balloon(*balloon_, machine_->state() == vmm::MachineState::kRunning);
  }
  measure_boot(*measurements.mutable_boot(), configuration.started_at_ns());
  return measurements;
}

void AssembledMachine::measure_counters(const proto::Configuration& configuration,
                                        proto::Measurements& measurements) const {
  measurements.set_version(kMeasurementsVersion);
  measurements.set_measured_at_ns(read_clock(CLOCK_MONOTONIC));
  measurements.set_process_time_ns(read_clock(CLOCK_PROCESS_CPUTIME_ID));
  for (unsigned vcpu = 0; vcpu < machine_->vcpu_count(); ++vcpu) {
    measurements.add_processors()->set_time_ns(
        static_cast<std::uint64_t>(machine_->processor_time(vcpu).count()));
    const vmm::ExitCounts::Snapshot counts = machine_->exit_counts(vcpu);
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const auto name = vmm::exit_reason_name(static_cast<vmm::ExitReason>(i));
      (*measurements.mutable_exits())[std::string(name)] += counts[i];
    }
  }
  for (const device::VirtioBus::QueueFigures& figures : virtio_bus_->queue_figures()) {
    const auto device =
        std::ranges::find(configuration.devices(), figures.address, &proto::Device::address);
    proto::Queue& queue = *measurements.add_queues();
    queue.set_device(device == configuration.devices().end() ? "" : device->name());
    queue.set_index(figures.index);
    queue.set_waiting(figures.waiting);
    queue.set_in_flight(figures.in_flight);
    queue.set_completed(figures.completed);
  }
}

void AssembledMachine::measure_boot(proto::Boot& boot, std::uint64_t process_started_at_ns) const {
  using Time = std::optional<std::chrono::steady_clock::time_point>;
  const std::chrono::nanoseconds begin(static_cast<std::int64_t>(process_started_at_ns));
  const auto microseconds = [begin](const Time& time) {
    const auto since =
        std::chrono::duration_cast<std::chrono::microseconds>(time->time_since_epoch() - begin);
    return static_cast<std::uint64_t>(std::max<std::int64_t>(since.count(), 0));
  };
  if (started_) {
    boot.set_machine_started_us(microseconds(started_));
  }
  const std::vector<Time> drivers = virtio_bus_->driver_times();
  const auto first = std::ranges::min_element(drivers, [](const Time& left, const Time& right) {
    return left && (!right || *left < *right);  // Those without a driver come last.
  });
  if (first != drivers.end() && *first) {
    boot.set_first_driver_us(microseconds(*first));
    boot.set_last_driver_us(microseconds(*std::ranges::max_element(drivers)));
  }
}

void AssembledMachine::measure_milestones(proto::Milestones& milestones,
                                          std::uint64_t process_started_at_ns) const {
  using Milestone = vmm::MachineControl::Milestone;
  const auto khz = machine_->tsc_khz();
  const auto now = machine_->sample_clock();
  if (!machine_control_ || !khz || *khz == 0 || !now) {
    return;
  }
  const std::chrono::nanoseconds now_ns = now->host_time.time_since_epoch();
  const auto started_ns = static_cast<std::int64_t>(process_started_at_ns);
  const auto microseconds = [&](Milestone which) -> std::optional<std::uint64_t> {
    const auto ticks = machine_control_->milestone(which);
    // The guest may write anything; a time that lies ahead or before the start is none.
    if (!ticks || *ticks > now->guest_tsc) {
      return std::nullopt;
    }
    const double ago_ns = static_cast<double>(now->guest_tsc - *ticks) * 1e6 / *khz;
    const double since_start_us = (static_cast<double>(now_ns.count() - started_ns) - ago_ns) / 1e3;
    return since_start_us < 0 ? std::nullopt
                              : std::optional(static_cast<std::uint64_t>(since_start_us));
  };
  if (const auto time = microseconds(Milestone::kKernelEntry)) {
    milestones.set_kernel_entry_us(*time);
  }
  if (const auto time = microseconds(Milestone::kFirstUserInstruction)) {
    milestones.set_first_user_us(*time);
  }
  if (const auto time = microseconds(Milestone::kCommandStarted)) {
    milestones.set_command_started_us(*time);
  }
  if (const auto time = microseconds(Milestone::kCommandEnded)) {
    milestones.set_command_ended_us(*time);
  }
}

Result<MemoryFigures> AssembledMachine::read_memory() const {
  std::vector<AddressRange> guest;
  for (const vmm::MemorySlot& slot : machine_->memory().slots()) {
    const auto begin = reinterpret_cast<std::uintptr_t>(slot.host);
    guest.push_back({begin, begin + slot.size});
  }
  const auto resident = resident_memory_outside(guest);
  const auto touched = machine_->memory().touched_bytes();
  if (!resident || !touched) {
    return std::unexpected(resident ? touched.error() : resident.error());
  }
  return MemoryFigures{.process = *resident, .guest_touched_kib = *touched / 1024};
}

void AssembledMachine::measure_memory(proto::Memory& memory) const {
  const auto figures = memory_meter_.figures(machine_->state() == vmm::MachineState::kRunning);
  if (!figures) {
    spdlog::warn("cannot measure memory: {}", figures.error().message());
    return;
  }
  memory.set_vmm_rss_kib(figures->process.total_kib);
  memory.set_vmm_anonymous_kib(figures->process.anonymous_kib);
  memory.set_vmm_large_pages_kib(figures->process.large_pages_kib);
  memory.set_guest_touched_kib(figures->guest_touched_kib);
}

}  // namespace ensemble::control
