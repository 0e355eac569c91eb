#pragma once

#include <cstdint>
#include <string_view>

namespace guest {

// Writes one JSON value after another through a sink, without a buffer of its own. Commas and
// quotes are its business, nesting is the caller's.
class JsonWriter {
 public:
  using Sink = void (*)(void* context, std::string_view text);

  JsonWriter(Sink sink, void* context) : sink_(sink), context_(context) {}

  // A key comes before each member of an object. Bytes that are no UTF-8 come out as U+FFFD.
  JsonWriter& key(std::string_view name);
  JsonWriter& string(std::string_view value);
  JsonWriter& number(std::uint64_t value);
  JsonWriter& signed_number(std::int64_t value);
  // value / 10^decimals, with that many decimals (at most 9).
  JsonWriter& fixed_point(std::uint64_t value, unsigned decimals);
  JsonWriter& boolean(bool value);
  JsonWriter& null();
  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  // Ends a line of JSON Lines; the next value starts afresh.
  JsonWriter& end_line();

  JsonWriter& member(std::string_view name, std::string_view value) {
    return key(name).string(value);
  }
  JsonWriter& member(std::string_view name, std::uint64_t value) { return key(name).number(value); }

 private:
  void emit(std::string_view text) { sink_(context_, text); }
  void separate();
  void quoted(std::string_view value);
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);

  Sink sink_;
  void* context_;
  bool comma_ = false;  // the next key or element needs one before it
};

}  // namespace guest
