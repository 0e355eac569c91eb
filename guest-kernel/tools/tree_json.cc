#include "guest-kernel/tools/tree_json.h"

extern "C" {
#include <libfdt.h>
}

#include <algorithm>
#include <cstddef>

namespace native {
namespace {

// Links between nodes and cell counts say nothing about the product.
bool is_structure(std::string_view name) {
  constexpr std::string_view kNames[] = {
      "phandle", "#address-cells",   "#size-cells",          "#interrupt-cells",
      "ranges",  "interrupt-parent", "interrupt-controller", "monitored-battery",
      "regmap"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

// Whole, printable, NUL-terminated strings that are not empty; the convention of dtc's decompiler.
bool is_text(std::string_view value) {
  if (value.empty() || value.back() != '\0' || value.front() == '\0') {
    return false;
  }
  char previous = '\0';
  for (const char c : value) {
    const bool printable = (c >= 0x20 && c < 0x7f) || static_cast<unsigned char>(c) >= 0x80;
    if (!printable && (c != '\0' || previous == '\0')) {
      return false;
    }
    previous = c;
  }
  return true;
}

void write_texts(guest::JsonWriter& json, std::string_view value) {
  const bool many = value.find('\0') + 1 != value.size();
  if (many) {
    json.begin_array();
  }
  while (!value.empty()) {
    const std::size_t end = value.find('\0');
    json.string(value.substr(0, end));
    value.remove_prefix(end + 1);
  }
  if (many) {
    json.end_array();
  }
}

// Properties that hold one number of two cells.
bool is_number64(std::string_view name) {
  return name == "timebase-frequency" || name == "ensemble,start-time" || name == "clock-frequency";
}

void write_cells(guest::JsonWriter& json, std::string_view name, std::string_view value) {
  const auto cell = [&](std::size_t index) {
    fdt32_t raw;
    __builtin_memcpy(&raw, value.data() + index * sizeof(raw), sizeof(raw));
    return std::uint64_t{fdt32_to_cpu(raw)};
  };
  const std::size_t count = value.size() / sizeof(fdt32_t);
  if (count == 1) {
    json.number(cell(0));
  } else if (count == 2 && is_number64(name)) {
    json.number(cell(0) << 32 | cell(1));
  } else {
    json.begin_array();
    for (std::size_t i = 0; i < count; ++i) {
      json.number(cell(i));
    }
    json.end_array();
  }
}

}  // namespace

void write_properties(guest::JsonWriter& json, const void* tree, int node) {
  int property = 0;
  fdt_for_each_property_offset(property, tree, node) {
    const char* name = nullptr;
    int length = 0;
    const auto* data =
        static_cast<const char*>(fdt_getprop_by_offset(tree, property, &name, &length));
    if (data == nullptr || name == nullptr || length < 0 || is_structure(name)) {
      continue;
    }
    const std::string_view value(data, static_cast<std::size_t>(length));
    json.key(name);
    if (value.empty()) {
      json.boolean(true);
    } else if (is_text(value)) {
      write_texts(json, value);
    } else if (value.size() % sizeof(fdt32_t) == 0) {
      write_cells(json, name, value);
    } else {
      json.null();
    }
  }
}

void write_node(guest::JsonWriter& json, const void* tree, int node, int depth) {
  write_properties(json, tree, node);
  if (depth == 0) {
    return;
  }
  int child = 0;
  fdt_for_each_subnode(child, tree, node) {
    const char* name = fdt_get_name(tree, child, nullptr);
    if (name != nullptr) {
      json.key(name).begin_object();
      write_node(json, tree, child, depth - 1);
      json.end_object();
    }
  }
}

}  // namespace native
