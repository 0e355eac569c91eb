#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "vmm/state.h"

namespace ensemble::device {

// The fields of a component one after the other, saved or restored: one list of them serves for
// both directions. What is restored may be anything: values that no component can have are noted,
// and finish() tells of the first, or of what lacks. Until then they are in the fields, so a
// component that is refused its state has to be put right again.
class StateFields {
 public:
  // `now` is the component's time, in ns; `version` is that of the state.
  StateFields(vmm::StateWriter& writer, std::uint64_t now, std::uint32_t version)
      : writer_(&writer), now_(now), version_(version) {}
  StateFields(vmm::StateReader& reader, std::uint64_t now, std::uint32_t version)
      : reader_(&reader), now_(now), version_(version) {}

  std::uint32_t version() const { return version_; }
  std::uint64_t now() const { return now_; }

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
      return;
    }
    const std::uint64_t read = reader_->u64();
    value = static_cast<Integer>(read);
    if (static_cast<std::uint64_t>(value) != read) {
      refuse(fmt::format("holds {} where a number of {} bits was expected", read,
                         std::numeric_limits<Integer>::digits + std::is_signed_v<Integer>));
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

  // A number from 0 to `most`. `what` is for the error: "samples in a row".
  template <typename Integer>
  void limited(Integer& value, std::type_identity_t<Integer> most, std::string_view what) {
    field(value);
    require(value <= most,
            fmt::format("holds {} {} where 0 to {} were expected", value, what, most));
  }

  // A time that lies behind.
  void past(std::uint64_t& time) {
    field(time);
    require(time <= now_, "holds a past time that lies ahead");
  }

  // A time that may lie ahead, but not further than anything takes.
  void deadline(std::uint64_t& time) {
    constexpr std::uint64_t kFurthest = 3'600'000'000'000;  // ns
    field(time);
    require(time <= now_ || time - now_ <= kFurthest, "holds a time that lies too far ahead");
  }

  // Notes a state that cannot be, when restoring.
  void require(bool condition, std::string_view otherwise) {
    if (!condition && reader_ != nullptr) {
      refuse(std::string(otherwise));
    }
  }

  // Whether all was there and could be.
  Result<void> finish() const {
    if (reader_ == nullptr) {
      return {};
    }
    if (auto status = reader_->status(); !status || error_.empty()) {
      return status ? reader_->finish() : status;
    }
    return fail("{}", error_);
  }

 private:
  void refuse(std::string error) {
    if (error_.empty()) {
      error_ = std::move(error);
    }
  }

  vmm::StateWriter* writer_ = nullptr;
  vmm::StateReader* reader_ = nullptr;
  std::uint64_t now_;
  std::uint32_t version_;
  std::string error_;
};

}  // namespace ensemble::device
