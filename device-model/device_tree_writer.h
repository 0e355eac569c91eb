#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/error.h"

namespace ensemble::device {

// Writes a flattened device tree, version 17, from its root downwards: begin() and end() bracket a
// node, properties of a node come before its children. The first failure sticks: later calls do
// nothing, and finish() reports it.
class DeviceTreeWriter {
 public:
  // Opens the root node.
  DeviceTreeWriter();

  void begin(const std::string& name);
  void end();

  // begin(), `contents`, end().
  template <std::invocable Contents>
  void node(const std::string& name, Contents&& contents) {
    begin(name);
    contents();
    end();
  }

  // A property without a value: true by being there.
  void flag(const char* name);
  void cells(const char* name, std::span<const std::uint32_t> values);
  void cells(const char* name, std::initializer_list<std::uint32_t> values);
  void cell(const char* name, std::uint32_t value) { cells(name, {value}); }
  void cell64(const char* name, std::uint64_t value);
  void string(const char* name, std::string_view value);
  void strings(const char* name, std::span<const std::string> values);
  void strings(const char* name, std::initializer_list<std::string_view> values);

  // Closes the root node and returns the blob.
  Result<std::vector<std::byte>> finish();

 private:
  void property(const char* name, std::span<const std::byte> value);
  template <typename Operation>
  void run(Operation&& operation);

  std::vector<std::byte> buffer_;
  int depth_ = 0;  // Of open nodes.
  int error_ = 0;  // Of libfdt, the first.
};

}  // namespace ensemble::device
