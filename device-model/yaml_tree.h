#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vmm/error.h"

namespace ensemble::device {

// Where a piece of a profile was written. Lines and columns count from 1.
struct SourceLocation {
  std::shared_ptr<const std::string> file;
  int line = 1;
  int column = 1;

  // "FILE:LINE:COLUMN".
  std::string to_string() const;
};

// One node of a parsed YAML document. Every node knows its place, so that an error found long after
// parsing, or after two files were merged, still names the right file and line.
struct YamlNode {
  enum class Kind { kNull, kScalar, kSequence, kMapping };
  struct Entry;

  SourceLocation location;
  Kind kind = Kind::kNull;
  std::string scalar;
  std::vector<YamlNode> items;
  std::vector<Entry> entries;

  // The value of `key` in a mapping, or nullptr.
  const YamlNode* find(std::string_view key) const;
  YamlNode* find(std::string_view key);

  // Takes `key` out of a mapping. Does nothing when it is absent.
  void erase(std::string_view key);
};

struct YamlNode::Entry {
  std::string key;
  SourceLocation key_location;
  YamlNode value;
};

// Bounds on what a YAML document may hold. They are far above any sensible profile.
inline constexpr std::size_t kMaximumYamlBytes = 64 * 1024;
inline constexpr std::size_t kMaximumYamlNodes = 8192;
inline constexpr std::size_t kMaximumYamlDepth = 16;

// Parses one YAML document. `file` is the name to show in errors. Rejected: more than one document,
// anchors, aliases and tags (none is needed, and they can blow up), keys that are no scalars, a key
// twice in one mapping, and documents beyond the bounds above.
Result<YamlNode> parse_yaml(const std::string& text, const std::string& file);

// Lays `child` over `parent`, mapping by mapping: what the child says wins, a null in the child
// takes the key away, sequences are replaced whole.
YamlNode merge_yaml(YamlNode parent, const YamlNode& child);

// An error at a place: "FILE:LINE:COLUMN: MESSAGE".
std::unexpected<Error> fail_at(const SourceLocation& location, std::string_view message);

}  // namespace ensemble::device
