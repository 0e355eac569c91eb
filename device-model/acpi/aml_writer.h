#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/error.h"

namespace ensemble::device {

// The bytes of a package length (ACPI 6.4, section 20.2.4) in front of `contents` bytes: it counts
// itself. `contents` is below 2^28 - 4.
std::vector<std::byte> aml_package_length(std::size_t contents);

// Writes ACPI machine language (ACPI 6.4, chapter 20) from top to bottom. Calls that take
// `contents` bracket what these write. Names are paths as in ASL: "\\_SB", "I2C0", "_SB.GPI0"; a
// segment has one to four characters of A-Z, 0-9 and _, and no digit first. The first failure
// sticks: later calls do nothing, and finish() reports it.
class AmlWriter {
 public:
  template <std::invocable Contents>
  void scope(std::string_view path, Contents&& contents) {
    const std::size_t start = begin_named({kScope}, path);
    contents();
    end(start);
  }

  template <std::invocable Contents>
  void device(std::string_view path, Contents&& contents) {
    const std::size_t start = begin_named({kExtension, kDevice}, path);
    contents();
    end(start);
  }

  // Without concurrency control when not `serialized`. Up to 7 arguments.
  template <std::invocable Contents>
  void method(std::string_view path, unsigned arguments, bool serialized, Contents&& contents) {
    const std::size_t start = begin_method(path, arguments, serialized);
    contents();
    end(start);
  }

  // A name; the next call writes its value.
  void name(std::string_view path);

  // Values: of a name, or elements of a package.
  void integer(std::uint64_t value);
  void string(std::string_view value);  // ASCII without NUL.
  void buffer(std::span<const std::byte> value);
  void eisa_id(std::string_view id);  // "PNP0501": a compressed hardware ID.
  void uuid(std::string_view uuid);   // "daffd814-6eba-4d8c-8a91-bc9bbf4aa301", as ToUUID() does.
  template <std::invocable Contents>
  void package(Contents&& contents) {
    const std::size_t start = begin_package();
    contents();
    end_package(start);
  }

  // A hardware ID: three capital letters and four hexadecimal digits become a compressed one,
  // anything else is a string.
  void hardware_id(std::string_view id);

  // Statements of methods.
  // OperationRegion(path, SystemMemory, address, size).
  void memory_region(std::string_view path, std::uint64_t address, std::uint64_t size);
  // Field(region, ByteAcc, NoLock, Preserve) { field, 8 }.
  void byte_field(std::string_view region, std::string_view field);
  // Notify(device, value).
  void notify(std::string_view device, std::uint8_t value);
  // If (variable) { contents }.
  template <std::invocable Contents>
  void if_name(std::string_view variable, Contents&& contents) {
    const std::size_t start = begin_named({kIf}, variable);
    contents();
    end(start);
  }
  // variable = value.
  void store_integer(std::uint64_t value, std::string_view variable);

  Result<std::vector<std::byte>> finish();

 private:
  static constexpr std::uint8_t kScope = 0x10;
  static constexpr std::uint8_t kExtension = 0x5b;
  static constexpr std::uint8_t kDevice = 0x82;
  static constexpr std::uint8_t kIf = 0xa0;

  void put(std::uint8_t byte) { bytes_.push_back(std::byte{byte}); }
  void put_number(std::uint64_t value, unsigned size);
  void put_path(std::string_view path);
  void put_segment(std::string_view segment);
  void put_text(std::string_view text);
  void put_integer(std::uint64_t value);
  void put_buffer(std::span<const std::byte> value);
  void count_element();
  std::size_t begin_named(std::initializer_list<std::uint8_t> opcode, std::string_view path);
  std::size_t begin_method(std::string_view path, unsigned arguments, bool serialized);
  std::size_t begin_package();
  void end(std::size_t start);
  void end_package(std::size_t start);
  void refuse(Error error);

  std::vector<std::byte> bytes_;
  std::vector<unsigned> packages_;  // Numbers of elements of the packages that are open.
  Result<void> status_;
};

}  // namespace ensemble::device
