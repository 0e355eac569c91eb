#include "device-model/device_tree.h"

#include <fmt/format.h>

#include <limits>

#include "device-model/device_tree_writer.h"
#include "device-model/machine_layout.h"

namespace ensemble::device {
namespace {

// Phandles: how one node names another.
constexpr std::uint32_t kIoApicPhandle = 1;
constexpr std::uint32_t kMachineControlPhandle = 2;
constexpr std::uint32_t kBatteryPhandle = 3;
constexpr std::uint32_t kGpioPhandle = 4;

// Values of the Linux input event codes that bindings ask for.
constexpr std::uint32_t kRelativeWheelAxis = 8;  // REL_WHEEL
constexpr std::uint32_t kSwitchEvent = 5;        // EV_SW
constexpr std::uint32_t kDockSwitch = 5;         // SW_DOCK

constexpr std::uint32_t kEdgeRising = 1;
constexpr std::uint32_t kEdgeFalling = 2;
constexpr std::uint32_t kLevelHigh = 4;
constexpr std::uint32_t kLevelLow = 8;

std::uint32_t high(std::uint64_t value) {
  return static_cast<std::uint32_t>(value >> 32);
}
std::uint32_t low(std::uint64_t value) {
  return static_cast<std::uint32_t>(value);
}

void write_register(DeviceTreeWriter& tree, std::uint64_t address, std::uint64_t size) {
  tree.cells("reg", {high(address), low(address), high(size), low(size)});
}

void write_cell_counts(DeviceTreeWriter& tree, std::uint32_t address, std::uint32_t size) {
  tree.cell("#address-cells", address);
  tree.cell("#size-cells", size);
}

void write_cpus(DeviceTreeWriter& tree, const MachineDescription& machine) {
  tree.node("cpus", [&] {
    write_cell_counts(tree, 1, 0);
    tree.cell64("timebase-frequency", machine.tsc_frequency);
    for (const std::uint32_t apic_id : machine.apic_ids) {
      tree.node(fmt::format("cpu@{:x}", apic_id), [&] {
        tree.string("device_type", "cpu");
        tree.string("compatible", "x86");
        tree.cell("reg", apic_id);
      });
    }
  });
}

void write_memory(DeviceTreeWriter& tree, const MachineDescription& machine) {
  tree.node("memory@0", [&] {
    tree.string("device_type", "memory");
    std::vector<std::uint32_t> cells;
    for (const MemoryRange& range : machine.memory) {
      cells.insert(cells.end(),
                   {high(range.address), low(range.address), high(range.size), low(range.size)});
    }
    tree.cells("reg", cells);
  });
}

std::string virtio_node_name(const VirtioNode& device) {
  return fmt::format("virtio@{:x}", device.address);
}

void write_chosen(DeviceTreeWriter& tree, const MachineDescription& machine) {
  tree.node("chosen", [&] {
    tree.string("stdout-path", fmt::format("/isa/serial@{:x}", kSerialPort));
    if (!machine.arguments.empty()) {
      tree.strings("ensemble,argv", machine.arguments);
    }
    if (!machine.environment.empty()) {
      tree.strings("ensemble,environment", machine.environment);
    }
    tree.cell64("ensemble,start-time", machine.start_time);
    if (!machine.console_is_terminal) {
      tree.flag("ensemble,console-is-data");
    }
  });
}

void write_machine_control(DeviceTreeWriter& tree) {
  tree.node(fmt::format("machine-control@{:x}", kMachineControlAddress), [&] {
    tree.strings("compatible",
                 {"ensemble,machine-control", "sifive,test1", "sifive,test0", "syscon"});
    write_register(tree, kMachineControlAddress, kMachineControlSize);
    tree.cell("phandle", kMachineControlPhandle);
  });
}

// At the root, since a simple-bus holds nodes with addresses only.
void write_power_commands(DeviceTreeWriter& tree) {
  const auto write_command = [&tree](const char* name, const char* compatible,
                                     std::uint32_t value) {
    tree.node(name, [&] {
      tree.string("compatible", compatible);
      tree.cell("regmap", kMachineControlPhandle);
      tree.cell("offset", 0);
      tree.cell("value", value);
    });
  };
  write_command("poweroff", "syscon-poweroff", 0x5555);
  write_command("reboot", "syscon-reboot", 0x7777);
}

std::uint32_t trigger_cell(Trigger trigger) {
  switch (trigger) {
    case Trigger::kEdgeFalling:
      return kEdgeFalling;
    case Trigger::kLevelHigh:
      return kLevelHigh;
    case Trigger::kLevelLow:
      return kLevelLow;
    case Trigger::kEdgeRising:
      break;
  }
  return kEdgeRising;
}

void write_controller(DeviceTreeWriter& tree, const char* compatible,
                      const ControllerNode& controller) {
  tree.string("compatible", compatible);
  write_register(tree, controller.address, controller.size);
  tree.cells("interrupts", {controller.gsi, trigger_cell(controller.trigger)});
}

void write_gpio(DeviceTreeWriter& tree, const ControllerNode& gpio) {
  tree.node(fmt::format("gpio@{:x}", gpio.address), [&] {
    write_controller(tree, "amd,kerncz-gpio", gpio);
    tree.flag("gpio-controller");
    tree.cell("#gpio-cells", 2);
    tree.flag("interrupt-controller");
    tree.cell("#address-cells", 0);
    tree.cell("#interrupt-cells", 2);
    tree.cell("phandle", kGpioPhandle);
  });
}

void write_i2c(DeviceTreeWriter& tree, const I2cControllerNode& bus) {
  tree.node(fmt::format("i2c@{:x}", bus.controller.address), [&] {
    write_controller(tree, "snps,designware-i2c", bus.controller);
    tree.cell("clock-frequency", bus.clock);
    write_cell_counts(tree, 1, 0);
    for (const ChipNode& chip : bus.chips) {
      const std::string name = chip.compatible.substr(chip.compatible.find(',') + 1);
      tree.node(fmt::format("{}@{:x}", name, chip.address), [&] {
        tree.string("compatible", chip.compatible);
        tree.cell("reg", chip.address);
        if (chip.interrupt_pin) {
          tree.cell("interrupt-parent", kGpioPhandle);
          tree.cells("interrupts", {*chip.interrupt_pin, trigger_cell(chip.trigger)});
        }
      });
    }
  });
}

void write_soc(DeviceTreeWriter& tree, const MachineDescription& machine) {
  tree.node("soc", [&] {
    tree.string("compatible", "simple-bus");
    write_cell_counts(tree, 2, 2);
    tree.flag("ranges");
    tree.cell("interrupt-parent", kIoApicPhandle);
    tree.node(fmt::format("interrupt-controller@{:x}", kIoApicAddress), [&] {
      tree.string("compatible", "intel,ce4100-ioapic");
      tree.flag("interrupt-controller");
      tree.cell("#interrupt-cells", 2);
      tree.cell("#address-cells", 0);
      write_register(tree, kIoApicAddress, kIoApicSize);
      tree.cell("phandle", kIoApicPhandle);
    });
    if (machine.power == PowerControl::kMachineControl) {
      write_machine_control(tree);
    }
    for (const VirtioNode& device : machine.virtio) {
      tree.node(virtio_node_name(device), [&] {
        tree.string("compatible", "virtio,mmio");
        write_register(tree, device.address, kVirtioSize);
        tree.cells("interrupts", {device.gsi, kEdgeRising});
        tree.node(device.name, [&] {
          tree.string("compatible", fmt::format("virtio,device{:x}", device.device_id));
          if (!device.role.empty()) {
            tree.string("ensemble,role", device.role);
          }
        });
      });
    }
    if (machine.gpio) {
      write_gpio(tree, *machine.gpio);
    }
    for (const I2cControllerNode& bus : machine.i2c) {
      write_i2c(tree, bus);
    }
  });
}

void write_isa(DeviceTreeWriter& tree, const MachineDescription& machine) {
  tree.node("isa", [&] {
    tree.string("compatible", "isa");
    write_cell_counts(tree, 2, 1);
    tree.cell("interrupt-parent", kIoApicPhandle);
    tree.node(fmt::format("serial@{:x}", kSerialPort), [&] {
      tree.string("compatible", "ns16550a");
      tree.cells("reg", {1, kSerialPort, kSerialPortCount});
      tree.cells("interrupts", {kSerialGsi, kEdgeRising});
      tree.cell("clock-frequency", 1'843'200);
    });
    if (machine.has_clock) {
      tree.node(fmt::format("rtc@{:x}", kClockPort), [&] {
        tree.string("compatible", "motorola,mc146818");
        tree.cells("reg", {1, kClockPort, kClockPortCount});
        tree.cells("interrupts", {kClockGsi, kEdgeRising});
      });
    }
    if (machine.power == PowerControl::kPort) {
      tree.node(fmt::format("power-port@{:x}", kPowerPort), [&] {
        tree.string("compatible", "ensemble,power-port");
        tree.cells("reg", {1, kPowerPort, 1});
      });
    }
  });
}

void write_screen(DeviceTreeWriter& tree, const Screen& screen) {
  tree.node("screen", [&] {
    tree.string("compatible", "ensemble,screen");
    tree.cell("width-mm", screen.width_millimetres());
    tree.cell("height-mm", screen.height_millimetres());
    tree.string("ensemble,shape", to_string(screen.shape));
    tree.cell("ensemble,density", screen.density);
    tree.cells("ensemble,refresh", {screen.minimum_refresh, screen.maximum_refresh});
    tree.node("panel-timing", [&] {
      const std::uint64_t clock =
          std::uint64_t{screen.width} * screen.height * screen.maximum_refresh;
      if (clock > std::numeric_limits<std::uint32_t>::max()) {
        tree.cell64("clock-frequency", clock);
      } else {
        tree.cell("clock-frequency", low(clock));
      }
      tree.cell("hactive", screen.width);
      tree.cell("vactive", screen.height);
    });
  });
}

std::string chip_node_name(const Chip& chip) {
  return fmt::format("{}@{:x}", chip.name, chip.address);
}

// What all chips have.
void write_chip(DeviceTreeWriter& tree, const Chip& chip) {
  tree.string("compatible", chip.model->compatible);
  tree.cell("reg", chip.address);
  tree.string("ensemble,bus", chip.bus);
}

void write_battery(DeviceTreeWriter& tree, const Battery& battery) {
  tree.node("battery", [&] {
    tree.string("compatible", "simple-battery");
    if (!battery.chemistry.empty()) {
      tree.string("device-chemistry", battery.chemistry);
    }
    tree.cell("charge-full-design-microamp-hours", battery.capacity);
    tree.cell("energy-full-design-microwatt-hours", battery.energy);
    tree.cell("voltage-min-design-microvolt", battery.minimum_voltage);
    tree.cell("voltage-max-design-microvolt", battery.maximum_voltage);
    tree.cell("phandle", kBatteryPhandle);
  });
  if (!battery.fuel_gauge && !battery.charger) {
    return;
  }
  tree.node("power", [&] {
    write_cell_counts(tree, 1, 0);
    for (const std::optional<Chip>* chip : {&battery.fuel_gauge, &battery.charger}) {
      if (*chip) {
        tree.node(chip_node_name(**chip), [&] {
          write_chip(tree, **chip);
          tree.cell("monitored-battery", kBatteryPhandle);
        });
      }
    }
  });
}

void write_input(DeviceTreeWriter& tree, const Profile& product) {
  if (!product.buttons.empty()) {
    tree.node("buttons", [&] {
      tree.string("compatible", "gpio-keys");
      for (const Button& button : product.buttons) {
        tree.node(std::string(button.name), [&] {
          tree.string("label", button.label);
          tree.cell("linux,code", button.key_code);
        });
      }
    });
  }
  if (product.touch) {
    tree.node("touch", [&] {
      tree.string("compatible", "ensemble,touch");
      tree.cell("touchscreen-size-x", product.screen->width);
      tree.cell("touchscreen-size-y", product.screen->height);
      tree.cell("ensemble,contacts", product.touch->contacts);
    });
  }
  if (product.crown) {
    tree.node("crown", [&] {
      tree.string("compatible", "rotary-encoder");
      tree.cell("rotary-encoder,steps", product.crown->steps);
      tree.flag("rotary-encoder,relative-axis");
      tree.cell("linux,axis", kRelativeWheelAxis);
    });
  }
  if (product.keyboard_dock) {
    tree.node("keyboard-dock", [&] {
      tree.string("compatible", "ensemble,keyboard-dock");
      tree.cell("linux,input-type", kSwitchEvent);
      tree.cell("linux,code", kDockSwitch);
    });
  }
}

void write_sensors(DeviceTreeWriter& tree, const Profile& product) {
  if (!product.sensors.empty()) {
    tree.node("sensors", [&] {
      write_cell_counts(tree, 1, 0);
      for (const Chip& sensor : product.sensors) {
        tree.node(chip_node_name(sensor), [&] {
          write_chip(tree, sensor);
          const std::vector<std::string> measures(sensor.model->measures.begin(),
                                                  sensor.model->measures.end());
          tree.strings("ensemble,measures", measures);
        });
      }
    });
  }
  if (product.haptics) {
    tree.node("actuators", [&] {
      write_cell_counts(tree, 1, 0);
      tree.node(chip_node_name(*product.haptics), [&] { write_chip(tree, *product.haptics); });
    });
  }
  if (product.gnss) {
    tree.node("gnss", [&] {
      tree.string("compatible", "ensemble,gnss");
      tree.cell("ensemble,rate", product.gnss->rate);
    });
  }
}

void write_buses(DeviceTreeWriter& tree, const Profile& product) {
  if (product.buses.empty()) {
    return;
  }
  tree.node("buses", [&] {
    for (const I2cBus& bus : product.buses) {
      tree.node(bus.name, [&] { tree.cell("clock-frequency", bus.clock); });
    }
  });
}

void write_domains(DeviceTreeWriter& tree, const Domains& domains) {
  tree.node("domains", [&] {
    tree.string("ensemble,isolation", to_string(domains.isolation));
    for (const DomainGroup& group : domains.groups) {
      tree.node(group.name, [&] { tree.strings("ensemble,services", group.services); });
    }
  });
}

void write_product(DeviceTreeWriter& tree, const Profile& product) {
  tree.node("product", [&] {
    if (product.screen) {
      write_screen(tree, *product.screen);
    }
    if (product.battery) {
      write_battery(tree, *product.battery);
    }
    write_input(tree, product);
    write_sensors(tree, product);
    write_buses(tree, product);
    write_domains(tree, product.domains);
  });
}

}  // namespace

Result<std::vector<std::byte>> encode_device_tree(const MachineDescription& machine) {
  DeviceTreeWriter tree;
  write_cell_counts(tree, 2, 2);
  tree.strings("compatible", {"ensemble," + machine.product.name, "ensemble"});
  tree.string("model", machine.product.model);
  write_cpus(tree, machine);
  write_memory(tree, machine);
  write_chosen(tree, machine);
  write_soc(tree, machine);
  if (machine.power == PowerControl::kMachineControl) {
    write_power_commands(tree);
  }
  write_isa(tree, machine);
  write_product(tree, machine.product);
  return tree.finish();
}

}  // namespace ensemble::device
