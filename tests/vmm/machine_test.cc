#include "vmm/machine.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "guest_machine.h"
#include "test_support.h"

namespace ensemble::vmm {
namespace {

class MachineTest : public ::testing::Test {
 protected:
  void SetUp() override { SKIP_WITHOUT_KVM(); }
};

TEST_F(MachineTest, PowersOffWithACode) {
  GuestMachine guest(GUEST(power_off));
  EXPECT_EQ(guest.machine->state(), MachineState::kPaused);
  EXPECT_FALSE(guest.machine->stop_reason());
  take(guest.machine->start());
  const StopReason reason = guest.machine->wait();
  EXPECT_EQ(reason.kind, StopReason::Kind::kPowerOff);
  EXPECT_EQ(reason.exit_code, 7);
  EXPECT_EQ(reason.to_string(), "the guest powered off with code 7");
  EXPECT_EQ(guest.machine->state(), MachineState::kStopped);
  EXPECT_EQ(guest.exits(ExitReason::kMmioWrite), 1u);
  EXPECT_FALSE(guest.machine->start());
  EXPECT_TRUE(contains(error_of(guest.machine->pause()), "powered off"));
  EXPECT_TRUE(contains(error_of(guest.machine->resume()), "powered off"));
}

TEST_F(MachineTest, ReportsARequestedReset) {
  GuestMachine guest(GUEST(reset));
  take(guest.machine->start());
  EXPECT_EQ(guest.machine->wait().kind, StopReason::Kind::kResetRequested);
}

TEST_F(MachineTest, TellsTheEventLoopOnceThatItStopped) {
  GuestMachine guest(GUEST(power_off), 2);
  int calls = 0;
  guest.machine->set_stop_handler([&](const StopReason& reason) {
    EXPECT_EQ(reason.exit_code, 7);
    EXPECT_EQ(guest.machine->state(), MachineState::kStopped);
    EXPECT_TRUE(guest.loop->device_lock().held_by_this_thread());
    ++calls;
    guest.loop->stop();
  });
  take(guest.machine->start());
  take(guest.loop->run());
  EXPECT_EQ(calls, 1);
  guest.machine->wait();
  take(guest.loop->run_once(std::chrono::milliseconds(0)));
  EXPECT_EQ(calls, 1);
}

TEST_F(MachineTest, DropsTheStopNoticeWhenItIsDestroyedFirst) {
  GuestMachine guest(GUEST(power_off));
  bool called = false;
  guest.machine->set_stop_handler([&](const StopReason&) { called = true; });
  take(guest.machine->start());
  guest.machine->wait();
  guest.machine.reset();
  take(guest.loop->run_once(std::chrono::milliseconds(0)));
  EXPECT_FALSE(called);
}

TEST_F(MachineTest, LeadsPortsToTheirDevice) {
  GuestMachine guest(GUEST(serial));
  take(guest.machine->start());
  guest.machine->wait();
  EXPECT_EQ(guest.output, "hi");
  EXPECT_EQ(guest.exits(ExitReason::kPortWrite), 2u);
  EXPECT_EQ(guest.machine->denied_port_accesses(), 0u);
}

TEST_F(MachineTest, HandlesStringOutput) {
  GuestMachine guest(GUEST(serial_string));
  take(guest.machine->start());
  EXPECT_EQ(guest.machine->wait().kind, StopReason::Kind::kPowerOff);
  EXPECT_EQ(guest.output, "abcd");
}

TEST_F(MachineTest, IgnoresPortsAccessedByRing3) {
  GuestMachine guest(GUEST(ring3_port));
  take(guest.machine->start());
  const StopReason reason = guest.machine->wait();
  ASSERT_EQ(reason.kind, StopReason::Kind::kPowerOff) << reason.to_string();
  EXPECT_EQ(guest.output, "");
  EXPECT_EQ(guest.result(), 0xffu);
  EXPECT_EQ(guest.machine->denied_port_accesses(), 2u);
}

TEST_F(MachineTest, RunsInRing3WhatCpuidPromises) {
  GuestMachine sse(GUEST(ring3_sse));
  take(sse.machine->start());
  const StopReason reason = sse.machine->wait();
  EXPECT_EQ(reason.kind, StopReason::Kind::kPowerOff) << reason.to_string();
  EXPECT_EQ(sse.result(), 8u);
  if (__builtin_cpu_supports("bmi") == 0 || __builtin_cpu_supports("bmi2") == 0) {
    GTEST_SKIP() << "the host CPU lacks BMI";
  }
  GuestMachine bmi(GUEST(ring3_bmi));
  take(bmi.machine->start());
  EXPECT_EQ(bmi.machine->wait().kind, StopReason::Kind::kPowerOff);
  EXPECT_EQ(bmi.result(), 0x0fu);
}

TEST_F(MachineTest, AnswersUnclaimedAccessesWithOnes) {
  GuestMachine guest(GUEST(unclaimed));
  take(guest.machine->start());
  EXPECT_EQ(guest.machine->wait().kind, StopReason::Kind::kPowerOff);
  EXPECT_EQ(guest.result(0), 0xffffffffu);
  EXPECT_EQ(guest.result(1), 0xffffffffu);
  EXPECT_EQ(guest.machine->port_bus().unclaimed_accesses(), 1u);
  EXPECT_EQ(guest.machine->mmio_bus().unclaimed_accesses(), 2u);
  EXPECT_EQ(guest.exits(ExitReason::kPortRead), 1u);
  EXPECT_EQ(guest.exits(ExitReason::kMmioRead), 1u);
}

// The file lies where the guest expects nothing.
TEST_F(MachineTest, StoresToAMappedFileChangeNothing) {
  GuestMachine guest(GUEST(unclaimed));
  guest.machine.reset();
  guest.machine =
      take(Machine::create({.memory_size = 16 << 20, .kvm_path = "/dev/kvm"}, *guest.loop));
  take(guest.machine->mmio_bus().insert(kMachineControlAddress, MachineControl::kSize,
                                        guest.control));
  const auto contents = bytes_of("read only");
  const FileDescriptor file(::open(guest.folder.write("file", contents).c_str(), O_RDONLY));
  constexpr uint64_t kAddress = 0xd0008000;
  take(guest.machine->memory().map_file("file", kAddress, file.get(), contents.size()));
  take(guest.machine->load({.kernel_path = guest.folder.path("kernel"), .command_line = ""}));
  take(guest.machine->start());
  EXPECT_EQ(guest.machine->wait().kind, StopReason::Kind::kPowerOff);
  EXPECT_EQ(guest.result(1), 0x64616572u) << "\"read\"";
  EXPECT_EQ(guest.machine->mmio_bus().unclaimed_accesses(), 1u) << "the store";
  EXPECT_EQ(guest.exits(ExitReason::kMmioRead), 0u);
  std::vector<std::byte> after(contents.size());
  take(guest.machine->memory().read(kAddress, after));
  EXPECT_EQ(after, contents);
}

TEST_F(MachineTest, StartsAsThePvhAbiSays) {
  GuestMachine guest(GUEST(show_start), 3);
  take(guest.machine->start());
  EXPECT_EQ(guest.machine->wait().kind, StopReason::Kind::kPowerOff);
  EXPECT_EQ(guest.result(0), 0x6000u);
  EXPECT_EQ(take(guest.machine->memory().load<uint32_t>(0x6000)), 0x336ec578u);
  EXPECT_EQ(guest.result(1) >> 24, 0u) << "APIC ID of vCPU 0";
  EXPECT_EQ((guest.result(1) >> 16) & 0xff, 3u) << "number of vCPUs";
  EXPECT_NE(guest.result(2) & (1u << 31), 0u) << "hypervisor bit";
}

TEST_F(MachineTest, PausesAndResumesAGuestThatLoops) {
  GuestMachine guest(GUEST(count), 2);
  take(guest.machine->start());
  EXPECT_EQ(guest.machine->state(), MachineState::kRunning);
  for (int round = 0; round < 5; ++round) {
    const uint32_t before = guest.result();
    ASSERT_TRUE(eventually([&] { return guest.result() != before; })) << "it runs";
    take(guest.machine->pause());
    EXPECT_EQ(guest.machine->state(), MachineState::kPaused);
    const uint32_t paused = guest.result();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_EQ(guest.result(), paused) << "it does not run";
    take(guest.machine->pause());
    take(guest.machine->resume());
  }
  EXPECT_GE(guest.exits(ExitReason::kInterrupted), 5u);
}

TEST_F(MachineTest, PausesWithNoRegisterAccessHalfDone) {
  GuestMachine guest(GUEST(read_registers));
  take(guest.machine->start());
  for (int round = 0; round < 50; ++round) {
    take(guest.machine->pause());
    // Between an exit and its completion KVM shows the instruction pointer at the access itself
    // and would read the register a second time after a restore. One more entry with
    // immediate_exit has completed it: a save now, restored, changes nothing.
    const auto components = guest.machine->stateful_components();
    const auto state = take(save_state(components));
    take(restore_state(state, components));
    take(guest.machine->resume());
  }
  const uint32_t before = guest.result();
  EXPECT_TRUE(eventually([&] { return guest.result() > before + 10; }));
  guest.machine->stop({.kind = StopReason::Kind::kStoppedFromOutside});
  guest.machine->wait();
  // Each loop reads once: a read for each count, but for the one that the stop cut off.
  EXPECT_LE(guest.exits(ExitReason::kMmioRead) - guest.result(), 1u);
}

TEST_F(MachineTest, PausesFromALoopHandlerThatHoldsTheDeviceLock) {
  GuestMachine guest(GUEST(read_registers));
  take(guest.machine->start());
  guest.loop->post([&] {
    take(guest.machine->pause());
    EXPECT_TRUE(guest.loop->device_lock().held_by_this_thread());
    guest.machine->stop({.kind = StopReason::Kind::kStoppedFromOutside});
    guest.machine->wait();
    guest.loop->stop();
  });
  take(guest.loop->run());
  EXPECT_EQ(guest.machine->state(), MachineState::kStopped);
}

TEST_F(MachineTest, StopsAGuestThatLoops) {
  GuestMachine guest(GUEST(count), 4);
  take(guest.machine->start());
  ASSERT_TRUE(eventually([&] { return guest.result() != 0; }));
  guest.machine->stop({.kind = StopReason::Kind::kStoppedFromOutside});
  guest.machine->stop({.kind = StopReason::Kind::kResetRequested});
  const StopReason reason = guest.machine->wait();
  EXPECT_EQ(reason.kind, StopReason::Kind::kStoppedFromOutside) << "the first reason counts";
  EXPECT_EQ(reason.to_string(), "the machine was stopped from outside");
}

TEST_F(MachineTest, StopsAGuestThatSleepsWithInterruptsOff) {
  GuestMachine guest(GUEST(halt));
  take(guest.machine->start());
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  guest.machine->stop({.kind = StopReason::Kind::kStoppedFromOutside});
  EXPECT_EQ(guest.machine->wait().kind, StopReason::Kind::kStoppedFromOutside);
}

TEST_F(MachineTest, StopsWhilePausedAndBeforeItsStart) {
  GuestMachine paused(GUEST(count));
  take(paused.machine->start());
  take(paused.machine->pause());
  paused.machine->stop({.kind = StopReason::Kind::kStoppedFromOutside});
  EXPECT_EQ(paused.machine->wait().kind, StopReason::Kind::kStoppedFromOutside);

  GuestMachine fresh(GUEST(count));
  EXPECT_FALSE(fresh.machine->resume());
  fresh.machine->stop({.kind = StopReason::Kind::kStoppedFromOutside});
  EXPECT_EQ(fresh.machine->state(), MachineState::kStopped);
  EXPECT_FALSE(fresh.machine->start());
}

TEST_F(MachineTest, LeavesNoThreadBehindWhenDestroyedWhileItRuns) {
  // KVM may have threads of its own in this process: only those of vCPUs count.
  const auto threads = [] {
    int count = 0;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      std::string name;
      std::getline(std::ifstream(task.path() / "comm") >> std::ws, name);
      count += name.starts_with("vcpu") ? 1 : 0;
    }
    return count;
  };
  {
    GuestMachine guest(GUEST(count), 3);
    take(guest.machine->start());
    EXPECT_EQ(threads(), 3);
  }
  EXPECT_EQ(threads(), 0);
}

TEST_F(MachineTest, ReportsATripleFault) {
  GuestMachine guest(GUEST(triple_fault));
  take(guest.machine->start());
  const StopReason reason = guest.machine->wait();
  EXPECT_EQ(reason.kind, StopReason::Kind::kTripleFault);
  EXPECT_TRUE(contains(reason.to_string(), "vCPU 0"));
}

TEST_F(MachineTest, ReportsWhereKvmCannotGoOn) {
  GuestMachine guest(GUEST(run_registers));
  take(guest.machine->start());
  const StopReason reason = guest.machine->wait();
  EXPECT_EQ(reason.kind, StopReason::Kind::kInternalError);
  EXPECT_TRUE(contains(reason.to_string(),
                       "vCPU 0: KVM cannot emulate an instruction in ring 0 at "
                       "0xd0008000"));
}

TEST_F(MachineTest, DoorbellWakesTheEventLoopAndNotTheBus) {
  GuestMachine guest(GUEST(doorbell));
  int rings = 0;
  auto doorbell = take(guest.machine->doorbells().add({.guest_address = kDoorbellAddress}, [&] {
    ++rings;
    take(guest.machine->memory().store_atomic<uint32_t>(kResults, 1));
  }));
  EXPECT_FALSE(guest.machine->doorbells().add({.guest_address = kDoorbellAddress}, [] {}));
  guest.machine->set_stop_handler([&](const StopReason&) { guest.loop->stop(); });
  take(guest.machine->start());
  take(guest.loop->run());
  EXPECT_EQ(rings, 1);
  EXPECT_EQ(guest.exits(ExitReason::kMmioWrite), 1u) << "power-off only";
  EXPECT_EQ(guest.machine->mmio_bus().unclaimed_accesses(), 0u);
}

TEST_F(MachineTest, DoorbellThatIsGoneLeavesTheStoreToTheBus) {
  GuestMachine guest(GUEST(doorbell));
  auto doorbell = take(guest.machine->doorbells().add(
      {.guest_address = kDoorbellAddress, .length = 4, .value = 0x1234}, [] { FAIL(); }));
  doorbell.reset();
  take(guest.machine->start());
  ASSERT_TRUE(eventually([&] { return guest.machine->mmio_bus().unclaimed_accesses() == 1; }));
}

TEST_F(MachineTest, DoorbellOfAnotherValueDoesNotRing) {
  GuestMachine guest(GUEST(doorbell));
  auto doorbell = take(guest.machine->doorbells().add(
      {.guest_address = kDoorbellAddress, .length = 4, .value = 0x4321}, [] { FAIL(); }));
  take(guest.machine->start());
  ASSERT_TRUE(eventually([&] { return guest.machine->mmio_bus().unclaimed_accesses() == 1; }));
  take(guest.loop->run_once(std::chrono::milliseconds(0)));
}

TEST_F(MachineTest, InterruptLineReachesTheLocalApic) {
  GuestMachine guest(GUEST(interrupt));
  auto line = take(guest.machine->make_interrupt_line(16));
  take(guest.machine->start());
  ASSERT_TRUE(eventually([&] { return guest.result() == 1; }));
  EXPECT_EQ(guest.machine->state(), MachineState::kRunning);
  line->trigger();
  EXPECT_EQ(guest.machine->wait().kind, StopReason::Kind::kPowerOff);
}

TEST_F(MachineTest, RefusesInterruptPinsThatAreTakenOrMissing) {
  GuestMachine guest(GUEST(halt));
  auto line = take(guest.machine->make_interrupt_line(5));
  EXPECT_TRUE(contains(error_of(guest.machine->make_interrupt_line(5)), "already belongs"));
  EXPECT_TRUE(contains(error_of(guest.machine->make_interrupt_line(24)), "pins 0 to 23"));
}

TEST_F(MachineTest, InterruptLinesAndDoorbellsOutliveTheirMachine) {
  GuestMachine guest(GUEST(halt));
  auto line = take(guest.machine->make_interrupt_line(5));
  auto doorbell = take(guest.machine->doorbells().add({.guest_address = kDoorbellAddress}, [] {}));
  guest.machine.reset();
  line->trigger();
}

TEST_F(MachineTest, RelatesMilestonesToTheHostsClock) {
  GuestMachine guest(GUEST(milestones));
  const uint32_t khz = take(guest.machine->tsc_khz());
  EXPECT_GT(khz, 100'000u);
  const auto start = std::chrono::steady_clock::now();
  take(guest.machine->start());
  guest.machine->wait();
  const auto milestone = guest.control.milestone(MachineControl::Milestone::kKernelEntry);
  ASSERT_TRUE(milestone);
  const ClockSample sample = take(guest.machine->sample_clock());
  ASSERT_GE(sample.guest_tsc, *milestone);
  const std::chrono::nanoseconds ago((sample.guest_tsc - *milestone) * 1'000'000 / khz);
  const auto when = sample.host_time - ago;
  EXPECT_GT(when, start - std::chrono::milliseconds(1));
  EXPECT_LT(when, sample.host_time);
}

TEST_F(MachineTest, CarriesOnFromSavedState) {
  GuestMachine original(GUEST(count));
  take(original.machine->start());
  ASSERT_TRUE(eventually([&] { return original.result() > 1000; }));
  take(original.machine->pause());
  const auto state = take(save_state(original.machine->stateful_components()));
  const uint32_t reached = original.result();

  GuestMachine copy(GUEST(count));
  take(restore_state(state, copy.machine->stateful_components()));
  EXPECT_EQ(take(save_state(copy.machine->stateful_components())).size(), state.size());
  take(copy.machine->start());
  ASSERT_TRUE(eventually([&] { return copy.result() != 0; }));
  EXPECT_GE(copy.result(), reached) << "the counter in a register came along";
  EXPECT_LT(copy.result(), reached + 0x40000000);
}

TEST_F(MachineTest, RefusesDamagedVCpuState) {
  GuestMachine guest(GUEST(count));
  for (Stateful* component : guest.machine->stateful_components()) {
    StateWriter writer;
    take(component->save(writer));
    for (size_t size : {size_t{0}, size_t{3}, writer.data().size() / 2, writer.data().size() - 1}) {
      StateReader reader(std::span(writer.data()).first(size));
      EXPECT_FALSE(component->restore(reader, 1)) << component->state_tag() << " of " << size;
    }
    StateReader whole(writer.data());
    EXPECT_TRUE(component->restore(whole, 1)) << component->state_tag();
  }
}

TEST_F(MachineTest, TellsTheProcessorTimeOfEachVCpu) {
  GuestMachine guest(GUEST(count), 2);  // Processor 0 counts, and 1 was never woken.
  const auto time = [&](unsigned vcpu) { return guest.machine->processor_time(vcpu); };
  EXPECT_EQ(time(0).count(), 0);
  take(guest.machine->start());
  const auto enough = std::chrono::milliseconds(20);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (time(0) < enough && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_GE(time(0), enough);
  EXPECT_LT(time(1), time(0));
  const auto before = time(0);
  guest.machine->stop({.kind = StopReason::Kind::kStoppedFromOutside, .detail = ""});
  guest.machine->wait();
  const auto after = time(0);  // Its thread has ended.
  EXPECT_GE(after, before);
  EXPECT_EQ(time(0), after);
}

TEST_F(MachineTest, RefusesImpossibleOptions) {
  auto loop = take(EventLoop::create());
  const auto refuse = [&](uint64_t memory, unsigned vcpus) {
    return error_of(Machine::create({.memory_size = memory, .vcpu_count = vcpus}, *loop));
  };
  EXPECT_TRUE(contains(refuse(16 << 20, 0), "1 to 8"));
  EXPECT_TRUE(contains(refuse(16 << 20, 9), "1 to 8"));
  EXPECT_TRUE(contains(refuse(15 << 20, 1), "16 MiB"));
  EXPECT_TRUE(contains(refuse((16 << 20) + 4096, 1), "multiple of 2 MiB"));
  EXPECT_TRUE(contains(refuse(uint64_t{34} << 30, 1), "32 GiB"));
}

TEST_F(MachineTest, HasMemoryAboveTheHole) {
  auto loop = take(EventLoop::create());
  auto machine = take(Machine::create({.memory_size = uint64_t{4} << 30, .vcpu_count = 8}, *loop));
  EXPECT_EQ(machine->vcpu_count(), 8u);
  take(machine->memory().store<uint64_t>((uint64_t{5} << 30) - 8, 1));
  EXPECT_FALSE(machine->memory().store<uint64_t>(uint64_t{5} << 30, 1));
}

}  // namespace
}  // namespace ensemble::vmm
