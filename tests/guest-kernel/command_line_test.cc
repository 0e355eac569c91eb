#include "guest-kernel/composer/command_line.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace composer {
namespace {

using namespace std::string_view_literals;

class CommandLine : public testing::Test {
 protected:
  const char* read(std::string_view line) { return read_command_line(line, arguments_, machine_); }
  std::array<char, 256> arguments_{};
  Machine machine_;
};

TEST_F(CommandLine, ReadsDevicesAsLinuxWritesThem) {
  EXPECT_EQ(read("console=ttyS0 virtio_mmio.device=512@0xfeb02e00:12 tsc_khz=2445430 cpus=4 quiet"),
            nullptr);
  ASSERT_EQ(machine_.devices.size(), 2u);
  EXPECT_EQ(machine_.devices[0].compatible, "ns16550a");
  EXPECT_TRUE(machine_.devices[0].io_space);
  EXPECT_EQ(machine_.devices[1].size, 512u);
  EXPECT_EQ(machine_.devices[1].address, 0xfeb0'2e00u);
  EXPECT_EQ(machine_.devices[1].gsi, 12u);
  EXPECT_EQ(machine_.devices[1].trigger, abi::InterruptTrigger::kLevelHigh);
  EXPECT_TRUE(machine_.devices[1].compatible.empty());
  EXPECT_TRUE(machine_.prefer_serial);
  EXPECT_EQ(machine_.tsc_frequency, 2'445'430'000u);
  EXPECT_EQ(machine_.apic_ids.size(), 4u);
  EXPECT_EQ(machine_.argument_count, 0u);
}

TEST_F(CommandLine, AddsDevicesToAMachineThatAManifestTells) {
  machine_.tsc_frequency = 7;
  EXPECT_EQ(
      read_announced_devices("tsc_khz=1 virtio_mmio.device=512@0xfeb02e00:12 -- /bin/sh", machine_),
      nullptr);
  ASSERT_EQ(machine_.devices.size(), 1u);
  EXPECT_EQ(machine_.devices[0].address, 0xfeb0'2e00u);
  EXPECT_EQ(machine_.tsc_frequency, 7u);
  EXPECT_EQ(machine_.argument_count, 0u);
  EXPECT_NE(read_announced_devices(" virtio_mmio.device=512", machine_), nullptr);
}

TEST_F(CommandLine, SplitsTheCommand) {
  EXPECT_EQ(read("tsc_khz=1 -- /bin/sh -c  \"echo a  b\" \"\" virtio_mmio.device=1K@0x1000:5 x"),
            nullptr);
  EXPECT_EQ(machine_.argument_count, 5u);
  EXPECT_EQ(machine_.arguments, "/bin/sh\0-c\0echo a  b\0\0x\0"sv);
  ASSERT_EQ(machine_.devices.size(), 2u);
  EXPECT_EQ(machine_.devices[1].size, 1024u);
  EXPECT_FALSE(machine_.prefer_serial);
}

TEST_F(CommandLine, EmptyIsAMachineWithASerialPort) {
  EXPECT_EQ(read("  "), nullptr);
  EXPECT_EQ(machine_.devices.size(), 1u);
  EXPECT_EQ(machine_.apic_ids.size(), 1u);
}

TEST_F(CommandLine, TooLongACommandIsRefused) {
  EXPECT_NE(read("-- " + std::string(300, 'x')), nullptr);
}

TEST_F(CommandLine, TooManyDevicesAreRefused) {
  std::string line;
  for (int i = 0; i < 28; ++i) {
    line += "virtio_mmio.device=512@0xd0000000:5 ";
  }
  EXPECT_NE(read(line), nullptr);
}

class BadCommandLine : public CommandLine, public testing::WithParamInterface<std::string_view> {};

TEST_P(BadCommandLine, IsRefused) {
  EXPECT_NE(read(GetParam()), nullptr);
}

INSTANTIATE_TEST_SUITE_P(
    Words, BadCommandLine,
    testing::Values("virtio_mmio.device=512", "virtio_mmio.device=@0x1:5",
                    "virtio_mmio.device=512@:5",
                    "virtio_mmio.device=512@0x1000:", "virtio_mmio.device=512@0x1000:256",
                    "virtio_mmio.device=512@0x11111111111111111:5", "-- a virtio_mmio.device=x",
                    "tsc_khz=", "tsc_khz=0", "tsc_khz=12x", "tsc_khz=99999999999", "cpus=0",
                    "cpus=9", "cpus=two"));

}  // namespace
}  // namespace composer
