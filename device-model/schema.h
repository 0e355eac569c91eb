#pragma once

#include <fmt/ranges.h>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "device-model/quantity.h"
#include "device-model/yaml_tree.h"
#include "vmm/error.h"

// The building blocks of a schema: a section of a document is a table of fields, a field is a key
// and the reader of its value, and the readers are templates over the member that they fill. All
// errors carry file, line and column, and say what was expected.
namespace ensemble::device::schema {

enum class Presence { kRequired, kOptional };

// One key of a section.
template <typename Section>
struct Field {
  std::string_view key;
  Presence presence;
  Result<void> (*read)(const YamlNode& node, Section& section);
};

// The word of `known` that `word` most probably was meant to be, or "" when none is near.
std::string_view nearest(std::string_view word, std::span<const std::string_view> known);

// "unknown KIND 'WORD'; did you mean 'NEAR'? Expected one of: KNOWN".
std::string describe_unknown(std::string_view kind, std::string_view word,
                             std::span<const std::string_view> known);

// Fails unless `node` is a mapping that has all `required` keys and no key but `known` ones.
Result<void> check_keys(const YamlNode& node, std::string_view section_name,
                        std::span<const std::string_view> known,
                        std::span<const std::string_view> required);

// The text of a scalar; `expected` is for the error when `node` is something else.
Result<std::string> read_text(const YamlNode& node, std::string_view expected);

// A quantity within [minimum, maximum] base units.
Result<std::uint64_t> read_quantity(const YamlNode& node, const Dimension& dimension,
                                    std::uint64_t minimum, std::uint64_t maximum);
Result<QuantityRange> read_quantity_range(const YamlNode& node, const Dimension& dimension,
                                          std::uint64_t minimum, std::uint64_t maximum);

// A whole number within [minimum, maximum].
Result<std::uint64_t> read_count(const YamlNode& node, std::uint64_t minimum,
                                 std::uint64_t maximum);

// "true" or "false".
Result<bool> read_flag(const YamlNode& node);

// A name: a lower-case letter, then lower-case letters, digits and hyphens; at most 31 characters,
// so that it fits a device tree node name.
Result<std::string> read_identifier(const YamlNode& node);
Result<void> check_identifier(std::string_view name, const SourceLocation& location);

// Reads the mapping `node` into a Section by its table of fields.
template <typename Section>
Result<Section> read_section(const YamlNode& node, std::string_view name,
                             std::span<const Field<Section>> fields, Section section = {}) {
  std::vector<std::string_view> known;
  std::vector<std::string_view> required;
  for (const Field<Section>& field : fields) {
    known.push_back(field.key);
    if (field.presence == Presence::kRequired) {
      required.push_back(field.key);
    }
  }
  if (Result<void> checked = check_keys(node, name, known, required); !checked) {
    return std::unexpected(checked.error());
  }
  for (const Field<Section>& field : fields) {
    const YamlNode* value = node.find(field.key);
    if (value == nullptr) {
      continue;
    }
    if (Result<void> read = field.read(*value, section); !read) {
      return std::unexpected(read.error());
    }
  }
  return section;
}

template <auto Member>
struct MemberOf;
template <typename S, typename V, V S::*Member>
struct MemberOf<Member> {
  using Section = S;
  using Value = V;
};
template <auto Member>
using SectionOf = typename MemberOf<Member>::Section;
template <auto Member>
using ValueOf = typename MemberOf<Member>::Value;

// Puts a read value into its place, or passes the error on.
template <typename Value, typename Place>
Result<void> store(Result<Value> value, Place& place) {
  if (!value) {
    return std::unexpected(value.error());
  }
  if constexpr (std::integral<Value> && std::integral<Place>) {
    place = static_cast<Place>(*value);
  } else {
    place = *std::move(value);
  }
  return {};
}

// Field readers. `Member` is the pointer to the member that the field fills.

template <auto Member, const Dimension& Of, std::uint64_t Minimum, std::uint64_t Maximum>
Result<void> quantity(const YamlNode& node, SectionOf<Member>& section) {
  return store(read_quantity(node, Of, Minimum, Maximum), section.*Member);
}

template <auto Low, auto High, const Dimension& Of, std::uint64_t Minimum, std::uint64_t Maximum>
Result<void> quantity_range(const YamlNode& node, SectionOf<Low>& section) {
  const Result<QuantityRange> range = read_quantity_range(node, Of, Minimum, Maximum);
  if (!range) {
    return std::unexpected(range.error());
  }
  section.*Low = static_cast<ValueOf<Low>>(range->low);
  section.*High = static_cast<ValueOf<High>>(range->high);
  return {};
}

template <auto Member, std::uint64_t Minimum, std::uint64_t Maximum>
Result<void> count(const YamlNode& node, SectionOf<Member>& section) {
  return store(read_count(node, Minimum, Maximum), section.*Member);
}

template <auto Member>
Result<void> flag(const YamlNode& node, SectionOf<Member>& section) {
  return store(read_flag(node), section.*Member);
}

template <auto Member>
Result<void> identifier(const YamlNode& node, SectionOf<Member>& section) {
  return store(read_identifier(node), section.*Member);
}

// One of a few words, each of which stands for a value.
template <typename Value>
struct Choice {
  std::string_view word;
  Value value;
};

template <typename Value, std::size_t N>
Result<Value> read_choice(const YamlNode& node, std::string_view kind,
                          const Choice<Value> (&choices)[N]) {
  std::vector<std::string_view> words;
  for (const Choice<Value>& choice : choices) {
    words.push_back(choice.word);
  }
  const Result<std::string> text =
      read_text(node, fmt::format("one of: {}", fmt::join(words, ", ")));
  if (!text) {
    return std::unexpected(text.error());
  }
  for (const Choice<Value>& choice : choices) {
    if (choice.word == *text) {
      return choice.value;
    }
  }
  return fail_at(node.location, describe_unknown(kind, *text, words));
}

}  // namespace ensemble::device::schema
