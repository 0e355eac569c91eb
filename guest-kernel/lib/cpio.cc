#include "guest-kernel/lib/cpio.h"

#include <algorithm>
#include <array>

namespace guest {
namespace {

constexpr std::size_t kHeaderSize = 110;
constexpr std::size_t kFields = 13;
constexpr std::size_t kMaximumName = 4096;
constexpr std::string_view kTrailer = "TRAILER!!!";

std::size_t round_up_4(std::size_t value) {
  return (value + 3) & ~std::size_t{3};
}

std::optional<std::uint32_t> parse_hex8(const char* text) {
  std::uint32_t value = 0;
  for (int i = 0; i < 8; ++i) {
    const char c = text[i];
    std::uint32_t digit = 0;
    if (c >= '0' && c <= '9') {
      digit = static_cast<std::uint32_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<std::uint32_t>(c - 'a') + 10;
    } else if (c >= 'A' && c <= 'F') {
      digit = static_cast<std::uint32_t>(c - 'A') + 10;
    } else {
      return std::nullopt;
    }
    value = value << 4 | digit;
  }
  return value;
}

}  // namespace

std::optional<CpioEntry> CpioReader::fail(CpioError error) {
  error_ = error;
  ended_ = true;
  return std::nullopt;
}

std::optional<CpioEntry> CpioReader::next() {
  if (ended_) {
    return std::nullopt;
  }
  const std::size_t left = headers_.size() - position_;
  if (left < kHeaderSize) {
    return fail(CpioError::kTruncated);
  }
  const char* header = reinterpret_cast<const char*>(headers_.data()) + position_;
  if (std::string_view(header, 6) != "070701") {
    return fail(CpioError::kBadMagic);
  }
  std::array<std::uint32_t, kFields> field{};
  for (std::size_t i = 0; i < kFields; ++i) {
    const auto value = parse_hex8(header + 6 + i * 8);
    if (!value) {
      return fail(CpioError::kBadNumber);
    }
    field[i] = *value;
  }
  const std::size_t file_size = field[6];
  const std::size_t name_size = field[11];
  if (name_size == 0 || name_size > kMaximumName) {
    return fail(CpioError::kBadName);
  }
  // At most 4 GiB plus a little: no overflow in 64 bits.
  const std::size_t content = round_up_4(kHeaderSize + name_size);
  if (content > left) {
    return fail(CpioError::kTruncated);
  }
  const std::string_view padded(header + kHeaderSize, name_size);
  if (padded.back() != '\0') {
    return fail(CpioError::kBadName);
  }
  const std::string_view name = padded.substr(0, padded.find('\0'));
  if (name == kTrailer) {
    position_ += content;
    ended_ = true;
    return std::nullopt;
  }
  const std::size_t offset =
      indexed_ ? std::size_t{field[7]} << 32 | field[8] : position_ + content;
  if (offset > archive_.size() || file_size > archive_.size() - offset) {
    return fail(CpioError::kTruncated);
  }
  const bool first = position_ == 0;
  const std::size_t size = indexed_ ? content : round_up_4(content + file_size);
  position_ = std::min(position_ + size, headers_.size());
  if (first && !indexed_ && name == kCpioIndexName) {
    headers_ = archive_.subspan(offset, file_size);
    indexed_ = true;
    position_ = 0;
    return next();
  }
  return CpioEntry{name,
                   field[1],
                   field[0],
                   field[4],
                   field[2],
                   field[3],
                   field[5],
                   indexed_ ? 0 : field[7],
                   indexed_ ? 0 : field[8],
                   field[9],
                   field[10],
                   offset,
                   archive_.subspan(offset, file_size)};
}

std::optional<CpioEntry> find_in_cpio(std::span<const std::byte> archive, std::string_view name) {
  CpioReader reader(archive);
  while (auto entry = reader.next()) {
    if (entry->name == name) {
      return entry;
    }
  }
  return std::nullopt;
}

const char* cpio_error_text(CpioError error) {
  switch (error) {
    case CpioError::kNone:
      return "no error";
    case CpioError::kTruncated:
      return "the archive is cut off";
    case CpioError::kBadMagic:
      return "an entry does not start with 070701";
    case CpioError::kBadNumber:
      return "a header field is no hexadecimal number";
    case CpioError::kBadName:
      return "a name is empty, longer than 4095 bytes, or not ended by NUL";
  }
  return "unknown error";
}

}  // namespace guest
