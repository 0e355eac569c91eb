// Prints what the composer found and started, as JSON Lines: one object per device, then the
// product (screen, battery, buttons, sensors, …), the memory, and the processors.

extern "C" {
#include <libfdt.h>
}

#include <algorithm>
#include <array>
#include <cstring>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/lib/clock.h"
#include "guest-kernel/lib/device_protocol.h"
#include "guest-kernel/lib/device_table.h"
#include "guest-kernel/lib/format.h"
#include "guest-kernel/tools/native.h"
#include "guest-kernel/tools/tree_json.h"

NATIVE_PROGRAM(0, 32, 16, 4);

namespace {

using guest::DeviceState;

constexpr std::uint64_t kMebibyte = 1 << 20;

constexpr std::uint64_t page_up(std::uint64_t value) {
  return (value + abi::kPageSize - 1) & ~(abi::kPageSize - 1);
}

// What libfdt's stack protector reads at %fs:0x28.
struct alignas(16) ThreadBlock {
  std::array<std::uint64_t, 6> words;
} thread_block;

std::string_view state_name(DeviceState state) {
  switch (state) {
    case DeviceState::kNoDriver:
      return "no driver";
    case DeviceState::kStarting:
      return "starting";
    case DeviceState::kRunning:
      return "running";
    case DeviceState::kFailed:
      return "failed";
    case DeviceState::kStopped:
      return "stopped";
    case DeviceState::kInComposer:
      return "running";
    case DeviceState::kIdle:
      return "idle";
  }
  return "unknown";
}

void text_or_null(guest::JsonWriter& json, std::string_view key, std::span<const char> text) {
  const std::string_view value = guest::text_of(text);
  json.key(key);
  if (value.empty()) {
    json.null();
  } else {
    json.string(value);
  }
}

void write_device(guest::JsonWriter& json, const guest::DeviceRecord& device) {
  json.begin_object().member("type", "device");
  json.member("compatible", guest::text_of(device.compatible));
  json.member("name", guest::text_of(device.path));
  text_or_null(json, "driver", device.driver);
  text_or_null(json, "domain", device.domain);
  json.member("state", state_name(device.state));
  json.member("restarts", device.restarts);
  json.key("properties").begin_object();
  json.member("address", device.address).member("size", device.size);
  if (device.interrupt != ~std::uint32_t{0}) {
    json.member("interrupt", device.interrupt);
  }
  const std::size_t count = std::min<std::size_t>(device.property_count, device.properties.size());
  for (std::size_t i = 0; i < count; ++i) {
    json.member(guest::text_of(device.properties[i].name), device.properties[i].value);
  }
  json.end_object();
  if (const std::string_view message = guest::text_of(device.message); !message.empty()) {
    json.member("message", message);
  }
  json.end_object().end_line();
}

// One line per node below /product: {"type":"screen",…}. Groups of chips ("sensors", "power",
// "buttons") become one line with a list.
void write_product(guest::JsonWriter& json, const void* tree) {
  int length = 0;
  const auto* model = static_cast<const char*>(fdt_getprop(tree, 0, "model", &length));
  json.begin_object().member("type", "product");
  if (model != nullptr && length > 0) {
    json.member("model", std::string_view(model, static_cast<std::size_t>(length - 1)));
  }
  native::write_properties(
      json, tree, fdt_path_offset(tree, "/product") < 0 ? 0 : fdt_path_offset(tree, "/product"));
  json.end_object().end_line();
  const int product = fdt_path_offset(tree, "/product");
  if (product < 0) {
    return;
  }
  int node = 0;
  fdt_for_each_subnode(node, tree, product) {
    std::string_view name(fdt_get_name(tree, node, nullptr));
    json.begin_object().member("type", name.substr(0, name.find('@')));
    native::write_node(json, tree, node, 4);
    json.end_object().end_line();
  }
}

void write_machine(guest::JsonWriter& json, const guest::DeviceTable& table) {
  // The PC's hole below 1 MiB is missing in the sum.
  json.begin_object().member("type", "memory").member("bytes", table.total_memory);
  json.member("mib", (table.total_memory + kMebibyte - 1) / kMebibyte).end_object().end_line();
  json.begin_object().member("type", "cpus").member("count", table.processor_count);
  json.member("running", table.processors_running);
  json.member("tsc-frequency", table.tsc_frequency).end_object().end_line();
}

}  // namespace

extern "C" void program_main(const guest::NativeStart& start) {
  guest::set_thread_bases(guest::kNoSlot, reinterpret_cast<std::uint64_t>(&thread_block), 0);
  guest::Message refresh{{static_cast<std::uint64_t>(guest::InformationRequest::kRefresh)}};
  if (guest::call(guest::kNativeInformation, refresh) != guest::Status::kOk) {
    native::fail(start, "devices", "the composer does not answer");
  }
  const std::uint64_t table_address = start.free_address;
  if (start.device_table_size < sizeof(guest::DeviceTable) ||
      guest::map(abi::kSelfSlot, table_address, guest::kNativeDeviceTable, 0,
                 page_up(start.device_table_size), abi::kRightRead) != guest::Status::kOk) {
    native::fail(start, "devices", "the table of devices cannot be mapped");
  }
  const auto& table = *reinterpret_cast<const guest::DeviceTable*>(table_address);
  native::Output output(start);
  guest::JsonWriter json = output.json();
  const std::size_t count =
      std::min<std::size_t>(table.device_count, guest::DeviceTable::kMaximumDevices);
  for (std::size_t i = 0; i < count; ++i) {
    write_device(json, table.devices[i]);
  }
  const std::uint64_t manifest_address = table_address + page_up(start.device_table_size);
  if (start.manifest_size != 0) {
    if (guest::map(abi::kSelfSlot, manifest_address, guest::kNativeManifest, 0,
                   page_up(start.manifest_size), abi::kRightRead) != guest::Status::kOk) {
      native::fail(start, "devices", "the manifest cannot be mapped");
    }
    const void* tree = reinterpret_cast<const void*>(manifest_address);
    if (fdt_check_header(tree) != 0 || fdt_totalsize(tree) > start.manifest_size) {
      native::fail(start, "devices", "the manifest is no flattened device tree");
    }
    write_product(json, tree);
  }
  write_machine(json, table);
  output.flush();
  native::exit(0);
}
