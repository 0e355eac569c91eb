#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/error.h"

namespace ensemble::vmm {

// Builds the contents of one section of saved state: little-endian integers, length-prefixed bytes.
class StateWriter {
 public:
  void boolean(bool value) { u8(value ? 1 : 0); }
  void u8(uint8_t value);
  void u16(uint16_t value);
  void u32(uint32_t value);
  void u64(uint64_t value);
  // A 64-bit length, then the bytes.
  void bytes(std::span<const std::byte> value);
  void string(std::string_view value);
  // A trivially copyable structure of the kernel's ABI, as `bytes`.
  template <typename T>
  void object(const T& value) {
    bytes(std::as_bytes(std::span(&value, 1)));
  }

  const std::vector<std::byte>& data() const { return data_; }

 private:
  void integer(uint64_t value, int size);

  std::vector<std::byte> data_;
};

// Reads the contents of one section. The contents may be corrupt or hostile: a read past the end or
// of a bad length returns zero or nothing, and so does every read after it; `status` then says what
// went wrong. So a component reads all of its fields, checks `finish`, checks their values, and
// only then changes itself.
class StateReader {
 public:
  explicit StateReader(std::span<const std::byte> data) : data_(data) {}

  bool boolean();  // A byte other than 0 or 1 is an error.
  uint8_t u8();
  uint16_t u16();
  uint32_t u32();
  uint64_t u64();
  // At most `limit` bytes; a view into the reader's data.
  std::span<const std::byte> bytes(uint64_t limit);
  std::string string(uint64_t limit);
  // Bytes that must be exactly the size of T. T() after a failure.
  template <typename T>
  T object() {
    T value{};
    const auto contents = bytes(sizeof(T));
    if (contents.size() == sizeof(T)) {
      std::memcpy(&value, contents.data(), sizeof(T));
    } else {
      set_error(fmt::format("holds {} bytes where {} were expected", contents.size(), sizeof(T)));
    }
    return value;
  }

  // The first failure, if any.
  Result<void> status() const;
  // As `status`; bytes left over are an Error too.
  Result<void> finish() const;

 private:
  uint64_t integer(size_t size);
  void set_error(std::string message);

  std::span<const std::byte> data_;
  size_t position_ = 0;
  std::string error_;
};

// A component whose state can be saved and restored. Call with its machine paused.
class Stateful {
 public:
  virtual ~Stateful() = default;

  // Unique within a machine, and the same in every run: "vcpu0", "serial@3f8".
  virtual std::string state_tag() const = 0;
  // The version that `save` writes. Raise it when the contents change, and go on reading the old.
  virtual uint32_t state_version() const = 0;
  virtual Result<void> save(StateWriter& writer) const = 0;
  // `version` is 1 to state_version(). On an Error the component is unchanged, or must be discarded
  // together with its machine.
  virtual Result<void> restore(StateReader& reader, uint32_t version) = 0;
};

// The saved state of all `components`: a header, then one tagged, versioned, length-prefixed
// section with a checksum for each.
Result<std::vector<std::byte>> save_state(std::span<Stateful* const> components);

// Restores each component from its section. A section of no component, a component without a
// section, a doubled tag, a version from the future, or a damaged section is an Error that names
// it, and is found before any component is changed.
Result<void> restore_state(std::span<const std::byte> state, std::span<Stateful* const> components);

}  // namespace ensemble::vmm
