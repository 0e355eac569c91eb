#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "vmm/state.h"

namespace ensemble::device {

// The fields of a component one after the other, saved or restored: one list of them serves for
// both directions. After restoring, StateReader::finish() tells whether all were there.
class StateFields {
 public:
  explicit StateFields(vmm::StateWriter& writer) : writer_(&writer) {}
  explicit StateFields(vmm::StateReader& reader) : reader_(&reader) {}

  void field(bool& value) {
    if (writer_ != nullptr) {
      writer_->boolean(value);
    } else {
      value = reader_->boolean();
    }
  }

  template <typename Integer>
  requires std::is_integral_v<Integer>
  void field(Integer& value) {
    if (writer_ != nullptr) {
      writer_->u64(static_cast<std::uint64_t>(value));
    } else {
      value = static_cast<Integer>(reader_->u64());
    }
  }

  template <typename Element, std::size_t Size>
  void field(std::array<Element, Size>& values) {
    for (Element& value : values) {
      field(value);
    }
  }

  // At most `limit` bytes.
  void field(std::vector<std::uint8_t>& bytes, std::size_t limit) {
    if (writer_ != nullptr) {
      writer_->bytes(std::as_bytes(std::span(bytes)));
      return;
    }
    const auto read = reader_->bytes(limit);
    bytes.resize(read.size());
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::uint8_t>(read[i]);
    }
  }

  template <typename... Fields>
  void fields(Fields&... values) {
    (field(values), ...);
  }

 private:
  vmm::StateWriter* writer_ = nullptr;
  vmm::StateReader* reader_ = nullptr;
};

}  // namespace ensemble::device
