#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <string>

#include "guest-kernel/lib/format.h"
#include "guest-kernel/lib/json_writer.h"

namespace guest {
namespace {

TEST(TextWriter, WritesNumbers) {
  std::array<char, 100> buffer;
  TextWriter writer(buffer);
  writer.decimal(0).put(' ').decimal(std::numeric_limits<std::uint64_t>::max()).put(' ');
  writer.hexadecimal(0xabc, 4).put(' ').hexadecimal(0).put(' ').hexadecimal(1, 99);
  EXPECT_EQ(writer.view(), "0 18446744073709551615 0abc 0 0000000000000001");
  EXPECT_FALSE(writer.cut());
}

TEST(TextWriter, CutsWhatDoesNotFit) {
  std::array<char, 4> buffer;
  TextWriter writer(buffer);
  writer.text("abcdef");
  EXPECT_EQ(writer.view(), "abcd");
  EXPECT_TRUE(writer.cut());
  writer.clear();
  EXPECT_EQ(writer.view(), "");
}

TEST(CopyText, AlwaysEndsWithNul) {
  std::array<char, 4> buffer = {'x', 'x', 'x', 'x'};
  copy_text(buffer, "abcdef");
  EXPECT_EQ(text_of(buffer), "abc");
  EXPECT_EQ(buffer[3], '\0');
  copy_text(buffer, "");
  EXPECT_EQ(text_of(buffer), "");
  const std::array<char, 2> unterminated = {'a', 'b'};
  EXPECT_EQ(text_of(unterminated), "ab");
}

class Json : public testing::Test {
 protected:
  std::string text_;
  JsonWriter json_{
      [](void* text, std::string_view part) { *static_cast<std::string*>(text) += part; }, &text_};
};

TEST_F(Json, Nests) {
  json_.begin_object().member("a", 1).key("b").begin_array();
  json_.number(2).boolean(true).null().begin_object().end_object().end_array();
  json_.member("c", "x").end_object().end_line();
  json_.begin_object().end_object().end_line();
  EXPECT_EQ(text_, "{\"a\":1,\"b\":[2,true,null,{}],\"c\":\"x\"}\n{}\n");
}

TEST_F(Json, EscapesStrings) {
  json_.string(std::string_view("\"\\\n\0\x1f", 5));
  EXPECT_EQ(text_, "\"\\\"\\\\\\u000a\\u0000\\u001f\"");
}

TEST_F(Json, ReplacesWhatIsNoUtf8) {
  // Alone: a continuation, an overlong form, a surrogate, past U+10FFFF, cut off. Sound: 2, 3, 4
  // bytes.
  json_.string("\x80|\xc0\xaf|\xed\xa0\x80|\xf4\x90\x80\x80|\xe2\x82");
  EXPECT_EQ(text_.find('\x80'), std::string::npos);
  text_.clear();
  json_.string("|\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  EXPECT_EQ(text_, ",\"|\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
}

TEST_F(Json, WritesNumbers) {
  json_.begin_array().signed_number(-5).signed_number(std::numeric_limits<std::int64_t>::min());
  json_.fixed_point(1234, 3).fixed_point(5, 2).fixed_point(7, 0).end_array();
  EXPECT_EQ(text_, "[-5,-9223372036854775808,1.234,0.05,7]");
}

}  // namespace
}  // namespace guest
