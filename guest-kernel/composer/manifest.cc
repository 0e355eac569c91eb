#include "guest-kernel/composer/manifest.h"

extern "C" {
#include <libfdt.h>
}

namespace composer {
namespace {

// Manifests are a few KiB; nesting is shallow.
constexpr int kMaximumDepth = 8;
constexpr const char* kTooManyDevices = "the manifest has more than 28 devices";

std::uint64_t read_cells(const fdt32_t* cells, int count) {
  std::uint64_t value = 0;
  for (int i = 0; i < count; ++i) {
    value = value << 32 | fdt32_to_cpu(cells[i]);
  }
  return value;
}

// A property's bytes if it has at least `size` of them.
const void* property(const void* tree, int node, const char* name, int size) {
  int length = 0;
  const void* value = fdt_getprop(tree, node, name, &length);
  return value != nullptr && length >= size ? value : nullptr;
}

std::uint64_t number64(const void* tree, int node, const char* name) {
  const void* value = property(tree, node, name, 8);
  return value == nullptr ? 0 : read_cells(static_cast<const fdt32_t*>(value), 2);
}

// The whole string list, empty unless it ends with NUL.
std::string_view string_list(const void* tree, int node, const char* name) {
  int length = 0;
  const auto* text = static_cast<const char*>(fdt_getprop(tree, node, name, &length));
  if (text == nullptr || length <= 0 || text[length - 1] != '\0') {
    return {};
  }
  return {text, static_cast<std::size_t>(length)};
}

std::string_view first_string(const void* tree, int node, const char* name) {
  const std::string_view list = string_list(tree, node, name);
  return list.substr(0, list.find('\0'));
}

bool list_has(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const std::size_t end = list.find('\0');
    if (list.substr(0, end) == word) {
      return true;
    }
    list.remove_prefix(end + 1);
  }
  return false;
}

// Fills in `reg` and `interrupts` by the cell counts of `bus`. False if they make no sense.
bool read_resources(const void* tree, int bus, int node, Device& device) {
  const int address_cells = fdt_address_cells(tree, bus);
  const int size_cells = fdt_size_cells(tree, bus);
  if (address_cells < 1 || address_cells > 2 || size_cells < 1 || size_cells > 2) {
    return false;
  }
  const auto* reg = static_cast<const fdt32_t*>(property(
      tree, node, "reg", (address_cells + size_cells) * static_cast<int>(sizeof(fdt32_t))));
  if (reg == nullptr) {
    return false;
  }
  if (list_has(string_list(tree, bus, "compatible"), "isa")) {
    // Address cells of ISA: 1 = I/O space, then the address.
    device.io_space = address_cells == 2 && (fdt32_to_cpu(reg[0]) & 1) != 0;
    device.address = read_cells(reg + address_cells - 1, 1);
  } else {
    device.address = read_cells(reg, address_cells);
  }
  device.size = read_cells(reg + address_cells, size_cells);
  const auto* interrupts = static_cast<const fdt32_t*>(
      property(tree, node, "interrupts", 2 * static_cast<int>(sizeof(fdt32_t))));
  if (interrupts != nullptr) {
    device.has_interrupt = true;
    device.gsi = fdt32_to_cpu(interrupts[0]);
    device.trigger = fdt32_to_cpu(interrupts[1]) == 4 ? abi::InterruptTrigger::kLevelHigh
                                                      : abi::InterruptTrigger::kEdgeRising;
  }
  return true;
}

// The chips of an I²C controller, which is the machine's last device.
const char* read_chips(const void* tree, int controller, Machine& machine) {
  const std::size_t bus = machine.devices.size() - 1;
  int node = 0;
  fdt_for_each_subnode(node, tree, controller) {
    const void* reg = property(tree, node, "reg", 4);
    int length = 0;
    const char* name = fdt_get_name(tree, node, &length);
    Device chip;
    chip.compatible = first_string(tree, node, "compatible");
    if (name == nullptr || reg == nullptr || chip.compatible.empty()) {
      return "a chip's node of the manifest has no sound 'reg' or 'compatible'";
    }
    chip.path = {name, static_cast<std::size_t>(length)};
    chip.address = fdt32_to_cpu(*static_cast<const fdt32_t*>(reg));
    chip.bus = bus;
    if (chip.address > 0x7f) {
      return "a chip of the manifest has an address of more than 7 bits";
    }
    if (machine.devices.push_back(chip) == nullptr) {
      return kTooManyDevices;
    }
  }
  return nullptr;
}

const char* read_bus(const void* tree, const char* path, Machine& machine) {
  const int bus = fdt_path_offset(tree, path);
  if (bus < 0) {
    return nullptr;
  }
  int node = 0;
  fdt_for_each_subnode(node, tree, bus) {
    const std::string_view compatible = string_list(tree, node, "compatible");
    if (compatible.empty() || property(tree, node, "reg", 4) == nullptr ||
        fdt_getprop(tree, node, "interrupt-controller", nullptr) != nullptr) {
      continue;
    }
    Device device;
    int name_length = 0;
    const char* name = fdt_get_name(tree, node, &name_length);
    if (name == nullptr || !read_resources(tree, bus, node, device)) {
      return "a device node of the manifest has no sound 'reg'";
    }
    device.path = {name, static_cast<std::size_t>(name_length)};
    if (list_has(compatible, "ensemble,machine-control")) {
      machine.machine_control = device.address;
    }
    if (list_has(compatible, "ensemble,power-port")) {
      machine.power_port = static_cast<std::uint16_t>(device.address);
    }
    device.compatible = compatible.substr(0, compatible.find('\0'));
    if (device.compatible == "virtio,mmio") {
      // What the device is stands in its child; without one the device has to be asked.
      const int child = fdt_first_subnode(tree, node);
      device.compatible = child < 0 ? std::string_view{} : first_string(tree, child, "compatible");
      device.role = child < 0 ? std::string_view{} : first_string(tree, child, "ensemble,role");
    }
    if (machine.devices.push_back(device) == nullptr) {
      return kTooManyDevices;
    }
    if (device.compatible == "snps,designware-i2c") {
      if (const char* wrong = read_chips(tree, node, machine)) {
        return wrong;
      }
    }
  }
  return nullptr;
}

const char* read_processors(const void* tree, Machine& machine) {
  const int processors = fdt_path_offset(tree, "/cpus");
  if (processors < 0) {
    return "the manifest has no /cpus";
  }
  machine.tsc_frequency = number64(tree, processors, "timebase-frequency");
  int node = 0;
  fdt_for_each_subnode(node, tree, processors) {
    if (first_string(tree, node, "device_type") != "cpu") {
      continue;
    }
    const void* reg = property(tree, node, "reg", 4);
    if (reg == nullptr ||
        machine.apic_ids.push_back(fdt32_to_cpu(*static_cast<const fdt32_t*>(reg))) == nullptr) {
      return "the manifest's /cpus has a node without 'reg', or more than 8 of them";
    }
  }
  return nullptr;
}

void read_domains(const void* tree, Machine& machine) {
  const int domains = fdt_path_offset(tree, "/product/domains");
  if (domains < 0) {
    return;
  }
  machine.packed = first_string(tree, domains, "ensemble,isolation") == "packed";
  int node = 0;
  fdt_for_each_subnode(node, tree, domains) {
    int length = 0;
    const char* name = fdt_get_name(tree, node, &length);
    if (name != nullptr) {
      machine.groups.push_back(
          {{name, static_cast<std::size_t>(length)}, string_list(tree, node, "ensemble,services")});
    }
  }
}

void read_chosen(const void* tree, Machine& machine) {
  const int chosen = fdt_path_offset(tree, "/chosen");
  if (chosen < 0) {
    return;
  }
  machine.start_time = number64(tree, chosen, "ensemble,start-time");
  machine.console_is_data =
      fdt_getprop(tree, chosen, "ensemble,console-is-data", nullptr) != nullptr;
  machine.arguments = string_list(tree, chosen, "ensemble,argv");
  machine.environment = string_list(tree, chosen, "ensemble,environment");
  for (const char c : machine.arguments) {
    machine.argument_count += c == '\0' ? 1 : 0;
  }
}

void read_product_name(const void* tree, Machine& machine) {
  constexpr std::string_view kPrefix = "ensemble,";
  const std::string_view compatible = first_string(tree, 0, "compatible");
  if (compatible.starts_with(kPrefix)) {
    machine.product_name = compatible.substr(kPrefix.size());
  }
}

// libfdt's walks trust the structure block's nesting; this bounds it.
bool nesting_is_sound(const void* tree) {
  int depth = 0;
  int node = 0;
  while ((node = fdt_next_node(tree, node, &depth)) >= 0 && depth >= 0) {
    if (depth > kMaximumDepth) {
      return false;
    }
  }
  return node == -FDT_ERR_NOTFOUND || depth < 0;
}

}  // namespace

const char* read_manifest(std::span<const std::byte> bytes, Machine& machine) {
  const void* tree = bytes.data();
  if (bytes.size() < sizeof(fdt_header) || fdt_check_header(tree) != 0 ||
      fdt_totalsize(tree) > bytes.size()) {
    return "the manifest is no flattened device tree";
  }
  if (!nesting_is_sound(tree)) {
    return "the manifest's nodes are broken or nested deeper than 8";
  }
  const char* wrong = read_processors(tree, machine);
  if (wrong == nullptr) {
    wrong = read_bus(tree, "/soc", machine);
  }
  if (wrong == nullptr) {
    wrong = read_bus(tree, "/isa", machine);
  }
  read_product_name(tree, machine);
  read_domains(tree, machine);
  read_chosen(tree, machine);
  return wrong;
}

}  // namespace composer
