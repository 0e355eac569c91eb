#include "device-model/schema.h"

#include <array>
#include <numeric>

namespace ensemble::device::schema {
namespace {

std::string_view describe(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "nothing";
    case YamlNode::Kind::kScalar:
      return "a single value";
    case YamlNode::Kind::kSequence:
      return "a list";
    case YamlNode::Kind::kMapping:
      return "a mapping";
  }
  return "something else";
}

// Levenshtein distance: how many characters to insert, remove or replace.
std::size_t edit_distance(std::string_view from, std::string_view to) {
  std::vector<std::size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= from.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= to.size(); ++j) {
      const std::size_t replaced = diagonal + (from[i - 1] == to[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[to.size()];
}

// A word as shown in an error: long ones are cut.
std::string shown(std::string_view word) {
  constexpr std::size_t kLongest = 64;
  return word.size() <= kLongest ? std::string(word) : std::string(word.substr(0, kLongest)) + "…";
}

}  // namespace

std::string_view nearest(std::string_view word, std::span<const std::string_view> known) {
  constexpr std::size_t kLongestWord = 64;
  if (word.size() > kLongestWord) {
    return "";
  }
  std::string_view best;
  std::size_t best_distance = word.size() / 3 + 2;
  for (const std::string_view candidate : known) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance && distance < candidate.size()) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::string describe_unknown(std::string_view kind, std::string_view word,
                             std::span<const std::string_view> known) {
  const std::string_view near = nearest(word, known);
  const std::string hint = near.empty() ? "" : fmt::format("; did you mean '{}'?", near);
  return fmt::format("unknown {} '{}'{}{} one of: {}", kind, shown(word), hint,
                     hint.empty() ? "; expected" : " Expected", fmt::join(known, ", "));
}

Result<void> check_keys(const YamlNode& node, std::string_view section_name,
                        std::span<const std::string_view> known,
                        std::span<const std::string_view> required) {
  if (node.kind != YamlNode::Kind::kMapping) {
    return fail_at(node.location,
                   fmt::format("expected {} to be a mapping with the keys {}, but "
                               "found {}",
                               section_name, fmt::join(known, ", "), describe(node)));
  }
  for (const YamlNode::Entry& entry : node.entries) {
    if (std::ranges::find(known, entry.key) == known.end()) {
      return fail_at(entry.key_location,
                     describe_unknown(fmt::format("key in {}", section_name), entry.key, known));
    }
  }
  for (const std::string_view key : required) {
    if (node.find(key) == nullptr) {
      return fail_at(node.location, fmt::format("{} lacks the key '{}'", section_name, key));
    }
  }
  return {};
}

Result<std::string> read_text(const YamlNode& node, std::string_view expected) {
  if (node.kind != YamlNode::Kind::kScalar || node.scalar.empty()) {
    return fail_at(node.location,
                   fmt::format("expected {}, but found {}", expected, describe(node)));
  }
  return node.scalar;
}

Result<std::uint64_t> read_quantity(const YamlNode& node, const Dimension& dimension,
                                    std::uint64_t minimum, std::uint64_t maximum) {
  const Result<QuantityRange> range = read_quantity_range(node, dimension, minimum, maximum);
  if (!range) {
    return std::unexpected(range.error());
  }
  const Result<std::uint64_t> value = parse_quantity(node.scalar, dimension);
  return value ? value : fail_at(node.location, value.error().message());
}

Result<QuantityRange> read_quantity_range(const YamlNode& node, const Dimension& dimension,
                                          std::uint64_t minimum, std::uint64_t maximum) {
  const Result<std::string> text =
      read_text(node, fmt::format("{}, such as '{}'", dimension.what, dimension.example));
  if (!text) {
    return std::unexpected(text.error());
  }
  const Result<QuantityRange> range = parse_quantity_range(shown(*text), dimension);
  if (!range) {
    return fail_at(node.location, range.error().message());
  }
  if (range->low < minimum || range->high > maximum) {
    return fail_at(node.location, fmt::format("'{}' is out of range; expected {} to {}", *text,
                                              format_quantity(minimum, dimension),
                                              format_quantity(maximum, dimension)));
  }
  return range;
}

Result<std::uint64_t> read_count(const YamlNode& node, std::uint64_t minimum,
                                 std::uint64_t maximum) {
  const std::string expected = fmt::format("a whole number from {} to {}", minimum, maximum);
  const Result<std::string> text = read_text(node, expected);
  if (!text) {
    return std::unexpected(text.error());
  }
  const Result<std::uint64_t> value = parse_integer(*text);
  if (!value || *value < minimum || *value > maximum) {
    return fail_at(node.location,
                   fmt::format("expected {}, but found '{}'", expected, shown(*text)));
  }
  return value;
}

Result<bool> read_flag(const YamlNode& node) {
  static constexpr Choice<bool> kFlags[] = {{"true", true}, {"false", false}};
  return read_choice(node, "value", kFlags);
}

Result<void> check_identifier(std::string_view name, const SourceLocation& location) {
  constexpr std::size_t kLongest = 31;
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto is_allowed = [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '-';
  };
  if (name.empty() || name.size() > kLongest || !is_letter(name.front()) ||
      !std::ranges::all_of(name, is_allowed)) {
    return fail_at(location,
                   fmt::format("'{}' is not a name; expected at most {} lower-case letters, digits "
                               "and hyphens, a letter first",
                               shown(name), kLongest));
  }
  return {};
}

Result<std::string> read_identifier(const YamlNode& node) {
  Result<std::string> text = read_text(node, "a name");
  if (!text) {
    return text;
  }
  if (Result<void> checked = check_identifier(*text, node.location); !checked) {
    return std::unexpected(checked.error());
  }
  return text;
}

}  // namespace ensemble::device::schema
