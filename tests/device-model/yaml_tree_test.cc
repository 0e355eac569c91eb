#include "device-model/yaml_tree.h"

#include <gtest/gtest.h>

namespace ensemble::device {
namespace {

std::string message_of(const std::string& text) {
  const auto document = parse_yaml(text, "file.yaml");
  return document ? "accepted" : document.error().message();
}

TEST(YamlTree, KeepsPlaces) {
  const auto document = parse_yaml("a: 1\nb:\n  c: [x, y]\n", "file.yaml");
  ASSERT_TRUE(document);
  EXPECT_EQ(document->find("b")->find("c")->items[1].location.to_string(), "file.yaml:3:10");
  EXPECT_EQ(document->entries[1].key_location.to_string(), "file.yaml:2:1");
  EXPECT_EQ(document->find("missing"), nullptr);
}

TEST(YamlTree, RejectsBadDocuments) {
  EXPECT_EQ(message_of("a: 1\nb: 2\na: 3\n"),
            "file.yaml:3:1: key 'a' is given twice; first on line 1");
  EXPECT_EQ(message_of(""), "file.yaml: is empty; expected a mapping of keys to values");
  EXPECT_EQ(message_of("[a]: 1\n"), "file.yaml:1:1: a key must be a word");
  EXPECT_EQ(message_of("a: !secret x\n"),
            "file.yaml:1:4: tags such as '!secret' are not allowed in a profile");
  EXPECT_NE(message_of("a: 1\n---\nb: 2\n").find("a second YAML document"), std::string::npos);
  EXPECT_NE(message_of("a: [1\nb: 2").find("file.yaml:"), std::string::npos);
  EXPECT_NE(message_of("a: [1\nb: 2").find("not valid YAML"), std::string::npos);
  EXPECT_NE(message_of("a: \"\\q\"").find("not valid YAML"), std::string::npos);
}

TEST(YamlTree, IsBounded) {
  const std::string rejected = "anchors and aliases are not allowed";
  EXPECT_NE(message_of("a: &x [1]\nb: *x\n").find(rejected), std::string::npos);
  std::string bomb = "a: &a [x, x]\n";
  for (char name = 'b'; name < 'z'; ++name) {
    bomb += std::string(1, name) + ": &" + name + " [*" + static_cast<char>(name - 1) + "]\n";
  }
  EXPECT_NE(message_of(bomb).find(rejected), std::string::npos);
  EXPECT_NE(message_of(std::string(20'000, '[')).find("nested deeper than 16 levels"),
            std::string::npos);
  EXPECT_NE(message_of(std::string(kMaximumYamlBytes + 1, ' ')).find("larger than 64 KiB"),
            std::string::npos);
  std::string many = "a: [";
  for (std::size_t i = 0; i < kMaximumYamlNodes; ++i) {
    many += "1,";
  }
  EXPECT_NE(message_of(many + "]").find("more than 8192 values"), std::string::npos);
}

TEST(YamlTree, MergesMappingByMapping) {
  const auto parent = parse_yaml("a: {x: 1, y: 2}\nb: [1, 2]\nc: 3\n", "parent.yaml");
  const auto child = parse_yaml("a: {y: 5, z: 6}\nb: [9]\nc: ~\nd: 4\n", "child.yaml");
  const YamlNode merged = merge_yaml(*parent, *child);
  EXPECT_EQ(merged.find("a")->find("x")->scalar, "1");
  EXPECT_EQ(merged.find("a")->find("x")->location.to_string(), "parent.yaml:1:8");
  EXPECT_EQ(merged.find("a")->find("y")->scalar, "5");
  EXPECT_EQ(merged.find("a")->find("y")->location.to_string(), "child.yaml:1:8");
  EXPECT_EQ(merged.find("a")->find("z")->scalar, "6");
  EXPECT_EQ(merged.find("b")->items.size(), 1U);
  EXPECT_EQ(merged.find("c"), nullptr);
  EXPECT_EQ(merged.find("d")->scalar, "4");
}

}  // namespace
}  // namespace ensemble::device
