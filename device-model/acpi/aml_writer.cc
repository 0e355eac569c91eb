#include "device-model/acpi/aml_writer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

namespace ensemble::device {
namespace {

// Opcodes of ACPI 6.4, section 20.3.
constexpr std::uint8_t kZero = 0x00;
constexpr std::uint8_t kOne = 0x01;
constexpr std::uint8_t kName = 0x08;
constexpr std::uint8_t kBytePrefix = 0x0a;
constexpr std::uint8_t kWordPrefix = 0x0b;
constexpr std::uint8_t kDwordPrefix = 0x0c;
constexpr std::uint8_t kStringPrefix = 0x0d;
constexpr std::uint8_t kQwordPrefix = 0x0e;
constexpr std::uint8_t kBuffer = 0x11;
constexpr std::uint8_t kPackage = 0x12;
constexpr std::uint8_t kMethod = 0x14;
constexpr std::uint8_t kDualName = 0x2e;
constexpr std::uint8_t kMultiName = 0x2f;
constexpr std::uint8_t kRoot = 0x5c;
constexpr std::uint8_t kStore = 0x70;
constexpr std::uint8_t kNotify = 0x86;
constexpr std::uint8_t kRegion = 0x80;  // After the extension prefix, as the next.
constexpr std::uint8_t kField = 0x81;

constexpr std::size_t kSegmentSize = 4;
constexpr std::size_t kPackageLimit = (std::size_t{1} << 28) - 4;
constexpr unsigned kMethodArgumentLimit = 7;
constexpr unsigned kElementLimit = 255;

bool is_capital(char character) {
  return character >= 'A' && character <= 'Z';
}

bool is_segment(std::string_view text) {
  return !text.empty() && text.size() <= kSegmentSize &&
         !(text.front() >= '0' && text.front() <= '9') &&
         std::ranges::all_of(text, [](char character) {
           return is_capital(character) || (character >= '0' && character <= '9') ||
                  character == '_';
         });
}

// All of `text` as a hexadecimal number.
std::optional<std::uint32_t> hexadecimal(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

// The number that a compressed ID is, in the order of its bytes in memory; nothing if it is none.
std::optional<std::uint32_t> compressed_id(std::string_view id) {
  constexpr std::size_t kLetters = 3;
  constexpr std::size_t kSize = 7;
  if (id.size() != kSize || !std::ranges::all_of(id.substr(0, kLetters), is_capital)) {
    return std::nullopt;
  }
  const auto product = hexadecimal(id.substr(kLetters));
  if (!product) {
    return std::nullopt;
  }
  const auto letter = [&](std::size_t index) {
    return static_cast<std::uint32_t>(id[index] - 'A' + 1);
  };
  return __builtin_bswap32(letter(0) << 26 | letter(1) << 21 | letter(2) << 16 | *product);
}

}  // namespace

std::vector<std::byte> aml_package_length(std::size_t contents) {
  std::size_t length = contents + 1;
  if (length < 0x40) {
    return {static_cast<std::byte>(length)};
  }
  // The first byte has the low four bits and how many bytes follow; each of these has eight more.
  std::size_t following = 1;
  for (; following < 3 && contents + 1 + following >= std::size_t{1} << (4 + 8 * following);
       ++following) {
  }
  length = contents + 1 + following;
  std::vector<std::byte> bytes = {static_cast<std::byte>(following << 6 | (length & 0xf))};
  for (std::size_t i = 0; i < following; ++i) {
    bytes.push_back(static_cast<std::byte>(length >> (4 + 8 * i)));
  }
  return bytes;
}

void AmlWriter::refuse(Error error) {
  if (status_) {
    status_ = std::unexpected(std::move(error));
  }
}

void AmlWriter::put_number(std::uint64_t value, unsigned size) {
  for (unsigned i = 0; i < size; ++i) {
    put(static_cast<std::uint8_t>(value >> (8 * i)));
  }
}

void AmlWriter::put_segment(std::string_view segment) {
  if (!is_segment(segment)) {
    refuse(
        Error(fmt::format("'{}' is no name segment of ACPI: one to four of A-Z, 0-9 and _, no "
                          "digit first",
                          segment)));
    return;
  }
  for (std::size_t i = 0; i < kSegmentSize; ++i) {
    put(static_cast<std::uint8_t>(i < segment.size() ? segment[i] : '_'));
  }
}

void AmlWriter::put_path(std::string_view path) {
  if (path.starts_with('\\')) {
    put(kRoot);
    path.remove_prefix(1);
    if (path.empty()) {
      put(kZero);
      return;
    }
  }
  const auto segments = static_cast<std::size_t>(std::ranges::count(path, '.')) + 1;
  if (segments > 2) {
    put(kMultiName);
    put(static_cast<std::uint8_t>(segments));
  } else if (segments == 2) {
    put(kDualName);
  }
  for (std::size_t i = 0; i < segments; ++i) {
    const std::size_t end = std::min(path.find('.'), path.size());
    put_segment(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
}

void AmlWriter::put_text(std::string_view text) {
  const bool ascii = std::ranges::all_of(text, [](char character) {
    return character > 0 && static_cast<unsigned char>(character) < 128;
  });
  if (!ascii) {
    refuse(Error(fmt::format("'{}' is no string of ACPI, which are ASCII", text)));
  }
  for (const char character : text) {
    put(static_cast<std::uint8_t>(character));
  }
  put(0);
}

void AmlWriter::put_integer(std::uint64_t value) {
  if (value == 0 || value == 1) {
    put(value == 0 ? kZero : kOne);
    return;
  }
  struct Width {
    std::uint8_t prefix;
    unsigned size;
  };
  const Width width = value <= UINT8_MAX    ? Width{kBytePrefix, 1}
                      : value <= UINT16_MAX ? Width{kWordPrefix, 2}
                      : value <= UINT32_MAX ? Width{kDwordPrefix, 4}
                                            : Width{kQwordPrefix, 8};
  put(width.prefix);
  put_number(value, width.size);
}

void AmlWriter::put_buffer(std::span<const std::byte> value) {
  put(kBuffer);
  const std::size_t start = bytes_.size();
  put_integer(value.size());
  bytes_.insert(bytes_.end(), value.begin(), value.end());
  end(start);
}

void AmlWriter::count_element() {
  if (!packages_.empty()) {
    ++packages_.back();
  }
}

std::size_t AmlWriter::begin_named(std::initializer_list<std::uint8_t> opcode,
                                   std::string_view path) {
  for (const std::uint8_t byte : opcode) {
    put(byte);
  }
  const std::size_t start = bytes_.size();
  put_path(path);
  return start;
}

std::size_t AmlWriter::begin_method(std::string_view path, unsigned arguments, bool serialized) {
  if (arguments > kMethodArgumentLimit) {
    refuse(Error(fmt::format("method '{}' has {} arguments; at most {} are possible", path,
                             arguments, kMethodArgumentLimit)));
  }
  const std::size_t start = begin_named({kMethod}, path);
  put(static_cast<std::uint8_t>(arguments | (serialized ? 1u << 3 : 0)));
  return start;
}

std::size_t AmlWriter::begin_package() {
  count_element();
  packages_.push_back(0);
  put(kPackage);
  put(0);  // The number of elements, until it is known.
  return bytes_.size() - 1;
}

void AmlWriter::end_package(std::size_t start) {
  const unsigned elements = packages_.back();
  packages_.pop_back();
  if (elements > kElementLimit) {
    refuse(Error(fmt::format("a package has {} elements; at most {} are possible", elements,
                             kElementLimit)));
  }
  bytes_[start] = static_cast<std::byte>(elements);
  end(start);
}

// Puts the package length in front of what was written since `start`.
void AmlWriter::end(std::size_t start) {
  const std::size_t size = bytes_.size() - start;
  if (size > kPackageLimit) {
    refuse(Error(fmt::format("{} bytes are too much for one package of ACPI", size)));
    return;
  }
  const std::vector<std::byte> length = aml_package_length(size);
  bytes_.insert(bytes_.begin() + static_cast<std::ptrdiff_t>(start), length.begin(), length.end());
}

void AmlWriter::name(std::string_view path) {
  put(kName);
  put_path(path);
}

void AmlWriter::integer(std::uint64_t value) {
  count_element();
  put_integer(value);
}

void AmlWriter::string(std::string_view value) {
  count_element();
  put(kStringPrefix);
  put_text(value);
}

void AmlWriter::buffer(std::span<const std::byte> value) {
  count_element();
  put_buffer(value);
}

void AmlWriter::eisa_id(std::string_view id) {
  const auto number = compressed_id(id);
  if (!number) {
    refuse(
        Error(fmt::format("'{}' is no hardware ID of three capital letters and four "
                          "hexadecimal digits",
                          id)));
    return;
  }
  integer(*number);
}

void AmlWriter::hardware_id(std::string_view id) {
  if (compressed_id(id)) {
    eisa_id(id);
  } else {
    string(id);
  }
}

void AmlWriter::uuid(std::string_view uuid) {
  // The first three groups are little-endian numbers, the others bytes.
  static constexpr auto kPositions =
      std::to_array<std::uint8_t>({6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34});
  constexpr std::size_t kSize = 36;
  std::array<std::byte, kPositions.size()> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto value =
        uuid.size() == kSize ? hexadecimal(uuid.substr(kPositions[i], 2)) : std::nullopt;
    if (!value) {
      refuse(Error(fmt::format("'{}' is no UUID", uuid)));
      return;
    }
    bytes[i] = static_cast<std::byte>(*value);
  }
  buffer(bytes);
}

void AmlWriter::memory_region(std::string_view path, std::uint64_t address, std::uint64_t size) {
  constexpr std::uint8_t kSystemMemory = 0;
  put(kExtension);
  put(kRegion);
  put_path(path);
  put(kSystemMemory);
  put_integer(address);
  put_integer(size);
}

void AmlWriter::byte_field(std::string_view region, std::string_view field) {
  constexpr std::uint8_t kByteAccess = 1;
  constexpr std::uint8_t kBits = 8;
  const std::size_t start = begin_named({kExtension, kField}, region);
  put(kByteAccess);
  put_segment(field);
  put(kBits);
  end(start);
}

void AmlWriter::notify(std::string_view device, std::uint8_t value) {
  put(kNotify);
  put_path(device);
  put_integer(value);
}

void AmlWriter::store_integer(std::uint64_t value, std::string_view variable) {
  put(kStore);
  put_integer(value);
  put_path(variable);
}

Result<std::vector<std::byte>> AmlWriter::finish() {
  if (!status_) {
    return std::unexpected(status_.error());
  }
  return std::move(bytes_);
}

}  // namespace ensemble::device
