#include "device-model/device_tree.h"

#include <gtest/gtest.h>
#include <libfdt.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "device-model/chip_placement.h"
#include "device-model/device_tree_writer.h"
#include "device-model/machine_layout.h"
#include "device-model/profile_loader.h"
#include "temporary_folder.h"

namespace ensemble::device {
namespace {

const std::vector<std::filesystem::path> kBuiltIn = {ENSEMBLE_TEST_PROFILES_DIRECTORY};

MachineDescription describe(const std::string& profile) {
  MachineDescription machine;
  machine.product = load_profile(profile, kBuiltIn).value();
  machine.apic_ids = {0, 1, 2, 3};
  machine.tsc_frequency = 2'500'000'000;
  machine.memory = {{0, kLowMemoryEnd}, {kHighMemoryStart, (1ULL << 30) - kHighMemoryStart}};
  describe_chips(place_chips(machine.product), machine);
  machine.arguments = {"/bin/busybox", "uname", "-a b"};
  machine.start_time = 1'700'000'000'000'000'001;
  machine.virtio = {{"console", 3, kVirtioAddress, 16},
                    {"entropy", 0x10, kVirtioAddress + kVirtioStride, 17},
                    {"port", 3, kVirtioAddress + 2 * kVirtioStride, 18, "agent"}};
  return machine;
}

// A device tree as its guest reads it.
class Tree {
 public:
  explicit Tree(std::vector<std::byte> blob) : blob_(std::move(blob)) {
    EXPECT_EQ(fdt_check_full(blob_.data(), blob_.size()), 0);
    EXPECT_EQ(fdt_version(blob_.data()), 17);
  }

  bool has(const char* path) const { return fdt_path_offset(blob_.data(), path) >= 0; }
  bool has(const char* path, const char* property) const {
    return fdt_getprop(blob_.data(), fdt_path_offset(blob_.data(), path), property, nullptr) !=
           nullptr;
  }

  std::string bytes(const char* path, const char* name) const {
    const int node = fdt_path_offset(blob_.data(), path);
    int size = 0;
    const void* value = node < 0 ? nullptr : fdt_getprop(blob_.data(), node, name, &size);
    if (value == nullptr) {
      ADD_FAILURE() << path << " lacks " << name;
      return "";
    }
    return {static_cast<const char*>(value), static_cast<std::size_t>(size)};
  }

  std::string string(const char* path, const char* name) const { return bytes(path, name).c_str(); }

  std::vector<std::uint32_t> cells(const char* path, const char* name) const {
    const std::string value = bytes(path, name);
    std::vector<std::uint32_t> cells(value.size() / 4);
    for (std::size_t i = 0; i < cells.size(); ++i) {
      cells[i] = fdt32_ld(reinterpret_cast<const fdt32_t*>(value.data()) + i);
    }
    return cells;
  }

  std::uint32_t cell(const char* path, const char* name) const {
    const auto values = cells(path, name);
    return values.size() == 1 ? values[0] : ~0U;
  }

 private:
  std::vector<std::byte> blob_;
};

using Cells = std::vector<std::uint32_t>;

Tree encode(const MachineDescription& machine) {
  return Tree(encode_device_tree(machine).value());
}

TEST(DeviceTree, DescribesTheMachine) {
  const Tree tree = encode(describe("phone"));
  EXPECT_EQ(tree.bytes("/", "compatible"), std::string("ensemble,phone\0ensemble\0", 24));
  EXPECT_EQ(tree.string("/", "model"), "Ensemble Phone");
  EXPECT_EQ(tree.cells("/cpus", "timebase-frequency"), (Cells{0, 2'500'000'000}));
  EXPECT_EQ(tree.cell("/cpus/cpu@3", "reg"), 3U);
  EXPECT_EQ(tree.string("/cpus/cpu@3", "compatible"), "x86");
  EXPECT_FALSE(tree.has("/cpus/cpu@4"));
  EXPECT_EQ(tree.cells("/memory@0", "reg"), (Cells{0, 0, 0, 0xA0000, 0, 0x100000, 0, 0x3FF00000}));
  EXPECT_EQ(tree.bytes("/chosen", "ensemble,argv"), std::string("/bin/busybox\0uname\0-a b\0", 24));
  EXPECT_EQ(tree.cells("/chosen", "ensemble,start-time"), (Cells{0x17979CFE, 0x362A0001}));
  EXPECT_EQ(tree.string("/chosen", "stdout-path"), "/isa/serial@3f8");
  EXPECT_FALSE(tree.has("/chosen", "ensemble,console-is-data"));
}

TEST(DeviceTree, SaysThatTheConsoleIsNoTerminal) {
  MachineDescription machine = describe("watch");
  machine.console_is_terminal = false;
  machine.environment = {"TERM=xterm", "A=b"};
  EXPECT_TRUE(encode(machine).has("/chosen", "ensemble,console-is-data"));
}

TEST(DeviceTree, DescribesTheDevices) {
  const Tree tree = encode(describe("phone"));
  EXPECT_EQ(tree.string("/soc/interrupt-controller@fec00000", "compatible"), "intel,ce4100-ioapic");
  EXPECT_EQ(tree.cell("/soc", "interrupt-parent"),
            tree.cell("/soc/interrupt-controller@fec00000", "phandle"));
  EXPECT_EQ(tree.cells("/soc/virtio@d0001000", "reg"), (Cells{0, 0xD0001000, 0, 0x200}));
  EXPECT_EQ(tree.cells("/soc/virtio@d0001000", "interrupts"), (Cells{16, 1}));
  EXPECT_EQ(tree.string("/soc/virtio@d0001000/console", "compatible"), "virtio,device3");
  EXPECT_EQ(tree.string("/soc/virtio@d0002000/entropy", "compatible"), "virtio,device10");
  EXPECT_EQ(tree.string("/soc/virtio@d0003000/port", "ensemble,role"), "agent");
  EXPECT_FALSE(tree.has("/soc/virtio@d0001000/console", "ensemble,role"));
  EXPECT_EQ(tree.bytes("/soc/machine-control@d0000000", "compatible"),
            std::string("ensemble,machine-control\0sifive,test1\0sifive,test0\0syscon\0", 58));
  EXPECT_EQ(tree.cell("/poweroff", "regmap"),
            tree.cell("/soc/machine-control@d0000000", "phandle"));
  EXPECT_EQ(tree.cell("/poweroff", "value"), 0x5555U);
  EXPECT_EQ(tree.cell("/reboot", "value"), 0x7777U);
  EXPECT_EQ(tree.cells("/isa/serial@3f8", "reg"), (Cells{1, 0x3F8, 8}));
}

TEST(DeviceTree, DescribesTheProducts) {
  const Tree phone = encode(describe("phone"));
  EXPECT_EQ(phone.cell("/product/screen/panel-timing", "hactive"), 1080U);
  EXPECT_EQ(phone.cell("/product/screen/panel-timing", "vactive"), 2400U);
  EXPECT_EQ(phone.cells("/product/screen", "ensemble,refresh"), (Cells{60, 120}));
  EXPECT_EQ(phone.cell("/product/screen", "width-mm"), 65U);
  EXPECT_EQ(phone.string("/product/battery", "compatible"), "simple-battery");
  EXPECT_EQ(phone.cell("/product/battery", "charge-full-design-microamp-hours"), 4'600'000U);
  EXPECT_EQ(phone.cell("/product/battery", "energy-full-design-microwatt-hours"), 17'800'000U);
  EXPECT_EQ(phone.cell("/product/power/fuel-gauge@36", "monitored-battery"),
            phone.cell("/product/battery", "phandle"));
  EXPECT_EQ(phone.string("/product/power/charger@6a", "compatible"), "ti,bq24190");
  EXPECT_EQ(phone.cell("/product/buttons/volume-up", "linux,code"), 115U);
  EXPECT_EQ(phone.cell("/product/touch", "touchscreen-size-y"), 2400U);
  EXPECT_EQ(phone.string("/product/sensors/motion@68", "compatible"), "bosch,bmi160");
  EXPECT_EQ(phone.cell("/product/sensors/motion@68", "reg"), 0x68U);
  EXPECT_EQ(phone.string("/product/actuators/haptics@5a", "compatible"), "ti,drv2605l");
  EXPECT_EQ(phone.cell("/product/gnss", "ensemble,rate"), 1U);
  EXPECT_EQ(phone.string("/product/domains", "ensemble,isolation"), "isolated");
  EXPECT_FALSE(phone.has("/product/crown"));

  const Tree watch = encode(describe("watch"));
  EXPECT_EQ(watch.string("/product/screen", "ensemble,shape"), "round");
  EXPECT_EQ(watch.cell("/product/crown", "rotary-encoder,steps"), 24U);
  EXPECT_EQ(watch.string("/product/domains", "ensemble,isolation"), "packed");
  EXPECT_FALSE(watch.has("/product/gnss"));

  const Tree tablet = encode(describe("tablet"));
  EXPECT_TRUE(tablet.has("/product/keyboard-dock"));
  EXPECT_FALSE(tablet.has("/product/actuators/haptics@5a"));
}

TEST(DeviceTree, LeavesOutWhatIsAbsent) {
  MachineDescription machine;
  machine.product = parse_profile("model: Bare\ncpus: 1\nmemory: 16 MiB\n", "bare.yaml").value();
  const Tree tree = encode(machine);
  for (const char* path : {"/product/screen", "/product/battery", "/product/buttons",
                           "/product/sensors", "/product/buses", "/product/touch"}) {
    EXPECT_FALSE(tree.has(path)) << path;
  }
  EXPECT_TRUE(tree.has("/product/domains"));
}

TEST(DeviceTree, HoldsDomainGroupsAndHugeScreens) {
  MachineDescription machine = describe("phone");
  machine.product.domains.groups = {{"io", {"console", "block"}}};
  machine.product.screen->width = 16384;
  machine.product.screen->height = 16384;
  const Tree tree = encode(machine);
  EXPECT_EQ(tree.bytes("/product/domains/io", "ensemble,services"),
            std::string("console\0block\0", 14));
  EXPECT_EQ(tree.cells("/product/screen/panel-timing", "clock-frequency"), (Cells{7, 0x80000000}));
}

// The device tree compiler reads every manifest back without a complaint about its form.
TEST(DeviceTree, IsWellFormedToTheCompiler) {
  const TemporaryFolder folder;
  for (const char* name : {"phone", "tablet", "watch"}) {
    const auto blob = encode_device_tree(describe(name)).value();
    const auto input =
        folder.write(name, std::string(reinterpret_cast<const char*>(blob.data()), blob.size()));
    const std::string output = input.string() + ".dts";
    const std::string errors = input.string() + ".errors";
    const std::string command =
        "dtc -I dtb -O dts -o " + output + " " + input.string() + " 2> " + errors;
    ASSERT_EQ(std::system(command.c_str()), 0);
    std::stringstream complaints;
    complaints << std::ifstream(errors).rdbuf();
    EXPECT_EQ(complaints.str(), "") << name;
    EXPECT_GT(std::filesystem::file_size(output), 1000U);
  }
}

TEST(DeviceTree, GrowsWithItsContents) {
  MachineDescription machine = describe("phone");
  machine.arguments.assign(1000, std::string(100, 'x'));
  EXPECT_EQ(encode(machine).bytes("/chosen", "ensemble,argv").size(), 101'000U);
  machine.arguments.assign(100, std::string(100'000, 'x'));
  EXPECT_EQ(encode_device_tree(machine).error().message(),
            "cannot write the manifest: it is larger than 4 MiB");
}

TEST(DeviceTreeWriter, FailuresStick) {
  DeviceTreeWriter tree;
  tree.end();
  tree.end();
  tree.cell("after-the-end", 1);
  EXPECT_NE(tree.finish().error().message().find("cannot write the manifest"), std::string::npos);
}

TEST(UsableMemory, LeavesTheHoleOut) {
  const auto memory = vmm::GuestMemory::create(16ULL << 20).value();
  const auto ranges = usable_memory(memory);
  ASSERT_EQ(ranges.size(), 2U);
  EXPECT_EQ(ranges[0].address, 0U);
  EXPECT_EQ(ranges[0].size, kLowMemoryEnd);
  EXPECT_EQ(ranges[1].address, kHighMemoryStart);
  EXPECT_EQ(ranges[1].size, (16ULL << 20) - kHighMemoryStart);
}

TEST(DeviceTreeTest, ChipsHangOnTheirControllers) {
  const Tree tree(encode_device_tree(describe("phone")).value());
  EXPECT_EQ(tree.string("/soc/i2c@d0020000", "compatible"), "snps,designware-i2c");
  EXPECT_EQ(tree.cells("/soc/i2c@d0020000", "interrupts"), (Cells{kI2cGsis[0], 4}));
  EXPECT_EQ(tree.cell("/soc/i2c@d0020000", "clock-frequency"), 400'000U);
  EXPECT_TRUE(tree.has("/soc/gpio@d0030000", "gpio-controller"));
  const char* const motion = "/soc/i2c@d0020000/bmi160@68";
  EXPECT_EQ(tree.string(motion, "compatible"), "bosch,bmi160");
  EXPECT_EQ(tree.cell(motion, "reg"), 0x68U);
  EXPECT_EQ(tree.cell(motion, "interrupt-parent"), tree.cell("/soc/gpio@d0030000", "phandle"));
  const Cells interrupts = tree.cells(motion, "interrupts");
  ASSERT_EQ(interrupts.size(), 2U);
  EXPECT_GE(interrupts[0], kFirstChipPin);
  EXPECT_EQ(interrupts[1], 1U);
}

TEST(ChipPlacementTest, EachInterruptOutputHasAPinOfItsOwn) {
  for (const char* name : {"phone", "tablet", "watch"}) {
    const Profile profile = load_profile(name, kBuiltIn).value();
    const ChipPlaces places = place_chips(profile);
    std::vector<std::uint32_t> pins;
    ASSERT_EQ(places.buses.size(), 1U);
    for (const PlacedChip& chip : places.buses[0].chips) {
      EXPECT_EQ(chip.interrupt_pin.has_value(), chip.model->interrupt != ChipInterrupt::kNone);
      if (chip.interrupt_pin) {
        EXPECT_EQ(std::ranges::count(pins, *chip.interrupt_pin), 0);
        pins.push_back(*chip.interrupt_pin);
      }
    }
    EXPECT_EQ(places.gpio.has_value(), !pins.empty());
  }
}

}  // namespace
}  // namespace ensemble::device
