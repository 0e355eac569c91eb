#include "guest-kernel/composer/manifest.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <vector>

extern "C" {
#include <libfdt.h>
}

namespace composer {
namespace {

using namespace std::string_view_literals;

// A small manifest as docs/machine.md has it.
class Tree {
 public:
  Tree() : bytes_(8192) {
    fdt_create(data(), static_cast<int>(bytes_.size()));
    fdt_finish_reservemap(data());
  }
  void node(const char* name, const std::function<void()>& content) {
    fdt_begin_node(data(), name);
    content();
    fdt_end_node(data());
  }
  void cells(const char* name, std::vector<std::uint32_t> values) {
    for (std::uint32_t& value : values) {
      value = cpu_to_fdt32(value);
    }
    fdt_property(data(), name, values.data(), static_cast<int>(values.size() * sizeof(fdt32_t)));
  }
  void text(const char* name, std::string_view value) {
    fdt_property(data(), name, value.data(), static_cast<int>(value.size()));
  }
  std::vector<std::byte> finish() {
    fdt_finish(data());
    bytes_.resize(fdt_totalsize(data()));
    return bytes_;
  }

 private:
  void* data() { return bytes_.data(); }
  std::vector<std::byte> bytes_;
};

struct Options {
  bool sound_reg = true;
  int processors = 2;
  bool with_cpus = true;
  std::uint32_t chip_address = 0x68;
};

std::vector<std::byte> make_manifest(const Options& options = {}) {
  Tree tree;
  tree.node("", [&] {
    tree.cells("#address-cells", {2});
    tree.cells("#size-cells", {2});
    tree.text("compatible", "ensemble,watch\0ensemble\0"sv);
    if (options.with_cpus) {
      tree.node("cpus", [&] {
        tree.cells("#address-cells", {1});
        tree.cells("#size-cells", {0});
        tree.cells("timebase-frequency", {1, 5});
        for (int i = 0; i < options.processors; ++i) {
          tree.node(("cpu@" + std::to_string(i)).c_str(), [&] {
            tree.text("device_type", "cpu\0"sv);
            tree.cells("reg", {static_cast<std::uint32_t>(i * 2)});
          });
        }
      });
    }
    tree.node("chosen", [&] {
      tree.text("ensemble,argv", "/bin/a\0b c\0"sv);
      tree.cells("ensemble,start-time", {0, 99});
    });
    tree.node("soc", [&] {
      tree.cells("#address-cells", {2});
      tree.cells("#size-cells", {2});
      tree.node("interrupt-controller@fec00000", [&] {
        tree.text("compatible", "intel,ce4100-ioapic\0"sv);
        tree.text("interrupt-controller", ""sv);
        tree.cells("reg", {0, 0xfec0'0000, 0, 0x1000});
      });
      tree.node("machine-control@d0000000", [&] {
        tree.text("compatible", "ensemble,machine-control\0syscon\0"sv);
        tree.cells("reg", {0, 0xd000'0000, 0, 0x1000});
      });
      tree.node("poweroff", [&] { tree.text("compatible", "syscon-poweroff\0"sv); });
      tree.node("virtio@d0001000", [&] {
        tree.text("compatible", "virtio,mmio\0"sv);
        tree.cells("reg", options.sound_reg ? std::vector<std::uint32_t>{0, 0xd000'1000, 0, 0x200}
                                            : std::vector<std::uint32_t>{0xd000'1000});
        tree.cells("interrupts", {16, 1});
        tree.node("console", [&] {
          tree.text("compatible", "virtio,device3\0"sv);
          tree.text("ensemble,role", "agent\0"sv);
        });
      });
      tree.node("virtio@d0002000", [&] {
        tree.text("compatible", "virtio,mmio\0"sv);
        tree.cells("reg", {0, 0xd000'2000, 0, 0x200});
        tree.cells("interrupts", {17, 4});
      });
      tree.node("i2c@d0020000", [&] {
        tree.text("compatible", "snps,designware-i2c\0"sv);
        tree.cells("reg", {0, 0xd002'0000, 0, 0x1000});
        tree.cells("interrupts", {3, 4});
        tree.node("bmi160@68", [&] {
          tree.text("compatible", "bosch,bmi160\0"sv);
          tree.cells("reg", {options.chip_address});
        });
      });
    });
    tree.node("isa", [&] {
      tree.text("compatible", "isa\0"sv);
      tree.cells("#address-cells", {2});
      tree.cells("#size-cells", {1});
      tree.node("serial@3f8", [&] {
        tree.text("compatible", "ns16550a\0"sv);
        tree.cells("reg", {1, 0x3f8, 8});
        tree.cells("interrupts", {4, 1});
      });
    });
    tree.node("product", [&] {
      tree.node("domains", [&] {
        tree.text("ensemble,isolation", "packed\0"sv);
        tree.node("storage", [&] { tree.text("ensemble,services", "block\0entropy\0"sv); });
      });
    });
  });
  return tree.finish();
}

TEST(Manifest, DescribesTheMachine) {
  const auto tree = make_manifest();
  Machine machine;
  ASSERT_EQ(read_manifest(tree, machine), nullptr);
  EXPECT_EQ(machine.product_name, "watch");
  EXPECT_EQ(machine.tsc_frequency, 0x1'0000'0005u);
  EXPECT_EQ(machine.start_time, 99u);
  ASSERT_EQ(machine.apic_ids.size(), 2u);
  EXPECT_EQ(machine.apic_ids[1], 2u);
  EXPECT_EQ(machine.argument_count, 2u);
  EXPECT_EQ(machine.arguments, "/bin/a\0b c\0"sv);
  EXPECT_EQ(machine.machine_control, 0xd000'0000u);
  ASSERT_EQ(machine.devices.size(), 6u);
  const Device& console = machine.devices[1];
  EXPECT_EQ(console.path, "virtio@d0001000");
  EXPECT_EQ(console.compatible, "virtio,device3");
  EXPECT_EQ(console.role, "agent");
  EXPECT_TRUE(machine.devices[2].role.empty());
  EXPECT_EQ(console.address, 0xd000'1000u);
  EXPECT_EQ(console.size, 0x200u);
  EXPECT_EQ(console.gsi, 16u);
  EXPECT_EQ(console.trigger, abi::InterruptTrigger::kEdgeRising);
  EXPECT_TRUE(machine.devices[2].compatible.empty());
  EXPECT_EQ(machine.devices[2].trigger, abi::InterruptTrigger::kLevelHigh);
  const Device& chip = machine.devices[4];
  EXPECT_EQ(chip.path, "bmi160@68");
  EXPECT_EQ(chip.compatible, "bosch,bmi160");
  EXPECT_EQ(chip.address, 0x68u);
  EXPECT_EQ(chip.size, 0u);
  EXPECT_FALSE(chip.has_interrupt) << "its pin is none of the I/O APIC's";
  EXPECT_EQ(chip.bus, 3u);
  EXPECT_FALSE(machine.devices[3].bus);
  const Device& serial = machine.devices[5];
  EXPECT_TRUE(serial.io_space);
  EXPECT_EQ(serial.address, 0x3f8u);
  EXPECT_EQ(serial.size, 8u);
  EXPECT_TRUE(machine.packed);
  ASSERT_EQ(machine.groups.size(), 1u);
  EXPECT_EQ(machine.groups[0].name, "storage");
  EXPECT_EQ(machine.groups[0].services, "block\0entropy\0"sv);
}

TEST(Manifest, BadOnesAreRefused) {
  for (const Options& options : {Options{.sound_reg = false}, Options{.processors = 9},
                                 Options{.with_cpus = false}, Options{.chip_address = 0x80}}) {
    const auto tree = make_manifest(options);
    Machine machine;
    EXPECT_NE(read_manifest(tree, machine), nullptr);
  }
}

TEST(Manifest, TruncationsAreRefused) {
  const auto tree = make_manifest();
  for (std::size_t size = 0; size < tree.size(); ++size) {
    // A copy, so that a sanitizer sees a read past its end.
    const std::vector<std::byte> part(tree.begin(),
                                      tree.begin() + static_cast<std::ptrdiff_t>(size));
    Machine machine;
    EXPECT_NE(read_manifest(part, machine), nullptr) << size;
  }
}

// A flipped byte may change what the machine is, or be refused; it never leads out of the tree.
TEST(Manifest, FlippedBytesDoNoHarm) {
  const auto tree = make_manifest();
  std::mt19937 random(3);
  for (int i = 0; i < 20000; ++i) {
    auto harmed = tree;
    for (int flips = 0; flips < 3; ++flips) {
      harmed[random() % harmed.size()] = static_cast<std::byte>(random());
    }
    Machine machine;
    (void)read_manifest(harmed, machine);
  }
}

}  // namespace
}  // namespace composer
