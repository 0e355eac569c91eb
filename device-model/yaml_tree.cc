#include "device-model/yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>

namespace ensemble::device {
namespace {

// Ends a parse from inside yaml-cpp's call-backs. Never leaves this file.
struct Rejected {
  SourceLocation location;
  std::string message;
};

// Builds the tree from yaml-cpp's events. Working on events instead of yaml-cpp's own nodes keeps
// the place of every key, shows duplicate keys, and lets the bounds act before memory is used.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(std::shared_ptr<const std::string> file) : file_(std::move(file)) {}

  YamlNode take_root() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    reject_anchor(mark, anchor);
    add_leaf(mark, YamlNode::Kind::kNull, "");
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { reject_anchor(mark, 1); }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    reject_anchor(mark, anchor);
    reject_tag(mark, tag);
    add_leaf(mark, YamlNode::Kind::kScalar, value);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, YamlNode::Kind::kSequence);
  }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, YamlNode::Kind::kMapping);
  }

  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    YamlNode node;
    std::string key;
    SourceLocation key_location;
    bool has_key = false;
  };

  SourceLocation locate(const YAML::Mark& mark) const {
    return {.file = file_, .line = mark.line + 1, .column = mark.column + 1};
  }

  void reject_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) const {
    if (anchor != 0) {
      throw Rejected{locate(mark),
                     "anchors and aliases are not allowed in a profile; write the value out, or "
                     "share it with 'extends'"};
    }
  }

  // yaml-cpp gives "?" to plain and "!" to quoted scalars and to nothing that a user tagged.
  void reject_tag(const YAML::Mark& mark, const std::string& tag) const {
    if (!tag.empty() && tag != "?" && tag != "!") {
      throw Rejected{locate(mark), "tags such as '" + tag + "' are not allowed in a profile"};
    }
  }

  YamlNode make_node(const YAML::Mark& mark, YamlNode::Kind kind) {
    if (++count_ > kMaximumYamlNodes) {
      throw Rejected{locate(mark), fmt::format("more than {} values", kMaximumYamlNodes)};
    }
    YamlNode node;
    node.location = locate(mark);
    node.kind = kind;
    return node;
  }

  void add_leaf(const YAML::Mark& mark, YamlNode::Kind kind, const std::string& value) {
    YamlNode node = make_node(mark, kind);
    node.scalar = value;
    add(std::move(node));
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            YamlNode::Kind kind) {
    reject_anchor(mark, anchor);
    reject_tag(mark, tag);
    if (stack_.size() >= kMaximumYamlDepth) {
      throw Rejected{locate(mark), fmt::format("nested deeper than {} levels", kMaximumYamlDepth)};
    }
    stack_.push_back(Open{.node = make_node(mark, kind), .key = {}, .key_location = {}});
  }

  void close() {
    YamlNode node = std::move(stack_.back().node);
    stack_.pop_back();
    add(std::move(node));
  }

  void add(YamlNode node) {
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = stack_.back();
    if (parent.node.kind == YamlNode::Kind::kSequence) {
      parent.node.items.push_back(std::move(node));
    } else if (parent.has_key) {
      parent.node.entries.push_back(
          {std::move(parent.key), std::move(parent.key_location), std::move(node)});
      parent.has_key = false;
    } else {
      set_key(parent, std::move(node));
    }
  }

  static void set_key(Open& parent, YamlNode node) {
    if (node.kind != YamlNode::Kind::kScalar) {
      throw Rejected{node.location, "a key must be a word"};
    }
    for (const YamlNode::Entry& entry : parent.node.entries) {
      if (entry.key == node.scalar) {
        throw Rejected{node.location, fmt::format("key '{}' is given twice; first on line {}",
                                                  node.scalar, entry.key_location.line)};
      }
    }
    parent.key = std::move(node.scalar);
    parent.key_location = node.location;
    parent.has_key = true;
  }

  std::shared_ptr<const std::string> file_;
  std::vector<Open> stack_;
  YamlNode root_;
  std::size_t count_ = 0;
};

}  // namespace

std::string SourceLocation::to_string() const {
  return fmt::format("{}:{}:{}", file ? *file : "?", line, column);
}

std::unexpected<Error> fail_at(const SourceLocation& location, std::string_view message) {
  return fail("{}: {}", location.to_string(), message);
}

YamlNode* YamlNode::find(std::string_view key) {
  const auto entry =
      std::ranges::find_if(entries, [key](const Entry& candidate) { return candidate.key == key; });
  return entry == entries.end() ? nullptr : &entry->value;
}

const YamlNode* YamlNode::find(std::string_view key) const {
  return const_cast<YamlNode*>(this)->find(key);
}

void YamlNode::erase(std::string_view key) {
  std::erase_if(entries, [key](const Entry& entry) { return entry.key == key; });
}

Result<YamlNode> parse_yaml(const std::string& text, const std::string& file) {
  const auto name = std::make_shared<const std::string>(file);
  if (text.size() > kMaximumYamlBytes) {
    return fail("{}: larger than {} KiB, which no profile is", file, kMaximumYamlBytes / 1024);
  }
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    TreeBuilder builder(name);
    if (!parser.HandleNextDocument(builder)) {
      return fail("{}: is empty; expected a mapping of keys to values", file);
    }
    TreeBuilder rest(name);
    if (parser.HandleNextDocument(rest)) {
      return fail_at(rest.take_root().location,
                     "a second YAML document; a profile is one document");
    }
    return builder.take_root();
  } catch (const Rejected& rejected) {
    return fail_at(rejected.location, rejected.message);
  } catch (const YAML::Exception& error) {
    return fail_at({.file = name, .line = error.mark.line + 1, .column = error.mark.column + 1},
                   "not valid YAML: " + error.msg);
  } catch (const std::exception& error) {
    return fail("{}: not valid YAML: {}", file, error.what());
  }
}

YamlNode merge_yaml(YamlNode parent, const YamlNode& child) {
  if (parent.kind != YamlNode::Kind::kMapping || child.kind != YamlNode::Kind::kMapping) {
    return child;
  }
  parent.location = child.location;
  for (const YamlNode::Entry& entry : child.entries) {
    YamlNode* inherited = parent.find(entry.key);
    if (entry.value.kind == YamlNode::Kind::kNull) {
      parent.erase(entry.key);
    } else if (inherited != nullptr) {
      *inherited = merge_yaml(std::move(*inherited), entry.value);
    } else {
      parent.entries.push_back(entry);
    }
  }
  return parent;
}

}  // namespace ensemble::device
