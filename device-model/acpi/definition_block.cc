#include "device-model/acpi/acpi_tables.h"
#include "device-model/acpi/aml_writer.h"
#include "device-model/acpi/resource_template.h"
#include "device-model/machine_layout.h"

namespace ensemble::device {
namespace {

constexpr std::string_view kGpioPath = "\\_SB.GPI0";
constexpr std::size_t kI2cControllerLimit = 10;  // The names I2C0 to I2C9.

// Writes the devices of one machine. The first failure of a resource sticks, as in AmlWriter.
class DefinitionBlock {
 public:
  explicit DefinitionBlock(const MachineDescription& machine) : machine_(machine) {}

  Result<std::vector<std::byte>> encode() {
    write_sleep_states();
    aml_.scope("\\_SB", [&] {
      write_serial();
      if (machine_.has_clock) {
        write_clock();
      }
      if (machine_.power_button) {
        write_power_button(*machine_.power_button);
      }
      for (std::size_t i = 0; i < machine_.virtio.size(); ++i) {
        write_virtio(i);
      }
      if (machine_.gpio) {
        aml_.device("GPI0", [&] { write_controller(*machine_.gpio, 0); });
      }
      for (std::size_t i = 0; i < machine_.i2c.size(); ++i) {
        write_i2c(i);
      }
    });
    if (!status_) {
      return std::unexpected(status_.error());
    }
    return aml_.finish();
  }

 private:
  void write_sleep_states() {
    aml_.name("\\_S5");
    aml_.package([&] {
      aml_.integer(kSleepTypeOff);
      for (int unused = 0; unused < 3; ++unused) {
        aml_.integer(0);
      }
    });
  }

  void write_identity(std::string_view hardware_id, std::uint64_t unique_id) {
    aml_.name("_HID");
    aml_.hardware_id(hardware_id);
    aml_.name("_UID");
    aml_.integer(unique_id);
  }

  void write_resources(const std::string& owner, ResourceTemplate& resources) {
    auto bytes = resources.finish();
    if (!bytes) {
      if (status_) {
        status_ = std::unexpected(bytes.error().with_context(owner));
      }
      return;
    }
    aml_.name("_CRS");
    aml_.buffer(*bytes);
  }

  void write_serial() {
    aml_.device("COM1", [&] {
      write_identity("PNP0501", 1);
      ResourceTemplate resources;
      resources.ports(kSerialPort, kSerialPortCount);
      resources.interrupt(kSerialGsi, Trigger::kEdgeRising);
      write_resources("serial port", resources);
    });
  }

  void write_clock() {
    aml_.device("RTC", [&] {
      write_identity("PNP0B00", 0);
      ResourceTemplate resources;
      resources.ports(kClockPort, kClockPortCount);
      resources.interrupt(kClockGsi, Trigger::kEdgeRising);
      write_resources("real-time clock", resources);
    });
  }

  // The button, and the generic event device that tells of it.
  void write_power_button(const PowerButtonNode& button) {
    constexpr std::uint8_t kPressed = 0x80;
    aml_.device("PWRB", [&] { write_identity("PNP0C0C", 0); });
    aml_.device("GED", [&] {
      write_identity("ACPI0013", 0);
      ResourceTemplate resources;
      resources.interrupt(button.gsi, Trigger::kEdgeRising);
      write_resources("power button", resources);
      aml_.memory_region("EVTR", button.address, 1);
      aml_.byte_field("EVTR", "EVNT");
      aml_.method("_EVT", 1, true, [&] {
        aml_.if_name("EVNT", [&] {
          aml_.store_integer(1, "EVNT");
          aml_.notify("PWRB", kPressed);
        });
      });
    });
  }

  void write_virtio(std::size_t index) {
    const VirtioNode& node = machine_.virtio[index];
    aml_.device(fmt::format("VR{:02X}", index), [&] {
      write_identity("LNRO0005", index);
      aml_.name("_CCA");
      aml_.integer(1);
      ResourceTemplate resources;
      resources.memory(node.address, kVirtioSize);
      resources.interrupt(node.gsi, Trigger::kEdgeRising);
      write_resources(fmt::format("virtio device '{}'", node.name), resources);
    });
  }

  void write_controller(const ControllerNode& controller, std::uint64_t unique_id) {
    write_identity(controller.hardware_id, unique_id);
    ResourceTemplate resources;
    resources.memory(controller.address, controller.size);
    resources.interrupt(controller.gsi, controller.trigger);
    write_resources(fmt::format("controller {}", controller.hardware_id), resources);
  }

  void write_i2c(std::size_t index) {
    if (index >= kI2cControllerLimit) {
      status_ = fail("a machine has at most {} I2C controllers", kI2cControllerLimit);
      return;
    }
    const std::string name = fmt::format("I2C{}", index);
    const I2cControllerNode& bus = machine_.i2c[index];
    aml_.device(name, [&] {
      write_controller(bus.controller, index);
      for (const ChipNode& chip : bus.chips) {
        aml_.device(fmt::format("CH{:02X}", chip.address),
                    [&] { write_chip(chip, bus.clock, "\\_SB." + name, index); });
      }
    });
  }

  void write_chip(const ChipNode& chip, std::uint32_t clock, const std::string& bus,
                  std::size_t bus_index) {
    const std::string owner = fmt::format("chip '{}' at {:#x}", chip.compatible, chip.address);
    const bool binds_by_compatible = chip.hardware_id.empty();
    // Unique among chips with the same hardware ID, whatever their bus.
    write_identity(binds_by_compatible ? "PRP0001" : std::string_view(chip.hardware_id),
                   bus_index << 8 | chip.address);
    ResourceTemplate resources;
    resources.i2c(chip.address, clock, bus);
    if (chip.interrupt_pin) {
      if (!machine_.gpio && status_) {
        status_ = fail("{} has an interrupt pin, but the machine has no GPIO controller", owner);
      }
      resources.gpio_interrupt(*chip.interrupt_pin, chip.trigger, kGpioPath);
    }
    write_resources(owner, resources);
    if (binds_by_compatible || !chip.properties.empty()) {
      write_properties(chip, binds_by_compatible);
    }
  }

  void write_properties(const ChipNode& chip, bool with_compatible) {
    aml_.name("_DSD");
    aml_.package([&] {
      aml_.uuid("daffd814-6eba-4d8c-8a91-bc9bbf4aa301");  // Device properties.
      aml_.package([&] {
        if (with_compatible) {
          write_compatible(chip);
        }
        for (const ChipProperty& property : chip.properties) {
          write_property(property);
        }
      });
    });
  }

  void write_compatible(const ChipNode& chip) {
    if (chip.acpi_compatible.empty()) {
      write_property({"compatible", chip.compatible});
      return;
    }
    aml_.package([&] {
      aml_.string("compatible");
      aml_.package([&] {
        aml_.string(chip.acpi_compatible);
        aml_.string(chip.compatible);
      });
    });
  }

  void write_property(const ChipProperty& property) {
    aml_.package([&] {
      aml_.string(property.name);
      if (const auto* number = std::get_if<std::uint64_t>(&property.value)) {
        aml_.integer(*number);
      } else {
        aml_.string(std::get<std::string>(property.value));
      }
    });
  }

  const MachineDescription& machine_;
  AmlWriter aml_;
  Result<void> status_;
};

}  // namespace

Result<std::vector<std::byte>> encode_definition_block(const MachineDescription& machine) {
  return DefinitionBlock(machine).encode();
}

}  // namespace ensemble::device
