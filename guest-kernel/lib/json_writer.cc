#include "guest-kernel/lib/json_writer.h"

#include <array>
#include <cstddef>

#include "guest-kernel/lib/format.h"

namespace guest {
namespace {

// Bytes of the valid UTF-8 sequence at the start of `text`, or 0 (RFC 3629).
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const auto continuation = [&](std::size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned first = byte(0);
  if (first < 0x80) {
    return 1;
  }
  if (first >= 0xc2 && first <= 0xdf) {
    return continuation(1) ? 2 : 0;
  }
  if (first >= 0xe0 && first <= 0xef) {
    const bool overlong = first == 0xe0 && byte(1) < 0xa0;
    const bool surrogate = first == 0xed && byte(1) > 0x9f;
    return !overlong && !surrogate && continuation(1) && continuation(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const bool overlong = first == 0xf0 && byte(1) < 0x90;
    const bool too_large = first == 0xf4 && byte(1) > 0x8f;
    return !overlong && !too_large && continuation(1) && continuation(2) && continuation(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

void JsonWriter::separate() {
  if (comma_) {
    emit(",");
  }
  comma_ = true;
}

void JsonWriter::quoted(std::string_view value) {
  emit("\"");
  while (!value.empty()) {
    const std::size_t length = utf8_length(value);
    const char c = value.front();
    if (length == 0) {
      emit("\xef\xbf\xbd");
    } else if (c == '"' || c == '\\') {
      const std::array<char, 2> escaped = {'\\', c};
      emit({escaped.data(), escaped.size()});
    } else if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 6> escaped;
      emit(TextWriter(escaped).text("\\u").hexadecimal(static_cast<unsigned char>(c), 4).view());
    } else {
      emit(value.substr(0, length));
    }
    value.remove_prefix(length == 0 ? 1 : length);
  }
  emit("\"");
}

JsonWriter& JsonWriter::open(char bracket) {
  separate();
  emit({&bracket, 1});
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
  emit({&bracket, 1});
  comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  separate();
  quoted(name);
  emit(":");
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::string(std::string_view value) {
  separate();
  quoted(value);
  return *this;
}

JsonWriter& JsonWriter::number(std::uint64_t value) {
  separate();
  std::array<char, 20> text;
  emit(TextWriter(text).decimal(value).view());
  return *this;
}

JsonWriter& JsonWriter::signed_number(std::int64_t value) {
  separate();
  std::array<char, 21> text;
  TextWriter writer(text);
  const auto bits = static_cast<std::uint64_t>(value);
  emit((value < 0 ? writer.put('-').decimal(0 - bits) : writer.decimal(bits)).view());
  return *this;
}

JsonWriter& JsonWriter::fixed_point(std::uint64_t value, unsigned decimals) {
  separate();
  std::uint64_t scale = 1;
  decimals = decimals > 9 ? 9 : decimals;
  for (unsigned i = 0; i < decimals; ++i) {
    scale *= 10;
  }
  std::array<char, 32> text;
  TextWriter writer(text);
  writer.decimal(value / scale);
  if (decimals != 0) {
    writer.put('.');
    for (std::uint64_t digit = scale / 10; digit != 0; digit /= 10) {
      writer.put(static_cast<char>('0' + value / digit % 10));
    }
  }
  emit(writer.view());
  return *this;
}

JsonWriter& JsonWriter::boolean(bool value) {
  separate();
  emit(value ? "true" : "false");
  return *this;
}

JsonWriter& JsonWriter::null() {
  separate();
  emit("null");
  return *this;
}

JsonWriter& JsonWriter::end_line() {
  emit("\n");
  comma_ = false;
  return *this;
}

}  // namespace guest
