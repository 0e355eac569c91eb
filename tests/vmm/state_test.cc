#include "vmm/state.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

#include "test_support.h"

namespace ensemble::vmm {
namespace {

// Version 1 held the number; version 2 has a name too.
class Component final : public Stateful {
 public:
  Component(std::string tag, uint32_t version = 2) : tag_(std::move(tag)), version_(version) {}

  std::string state_tag() const override { return tag_; }
  uint32_t state_version() const override { return version_; }
  Result<void> save(StateWriter& writer) const override {
    if (broken) {
      return fail("it is broken");
    }
    writer.u32(number);
    if (version_ >= 2) {
      writer.string(name);
    }
    return {};
  }
  Result<void> restore(StateReader& reader, uint32_t version) override {
    const uint32_t new_number = reader.u32();
    const std::string new_name = version >= 2 ? reader.string(100) : "unnamed";
    if (auto finished = reader.finish(); !finished) {
      return finished;
    }
    number = new_number;
    name = new_name;
    return {};
  }

  uint32_t number = 0;
  std::string name;
  bool broken = false;

 private:
  std::string tag_;
  uint32_t version_;
};

TEST(State, FieldsRoundTrip) {
  StateWriter writer;
  writer.boolean(true);
  writer.u8(0x12);
  writer.u16(0x1234);
  writer.u32(0x12345678);
  writer.u64(0x123456789abcdef0);
  writer.bytes(bytes_of("bytes"));
  writer.string("string");
  writer.object(std::array<uint16_t, 3>{1, 2, 3});
  StateReader reader(writer.data());
  EXPECT_TRUE(reader.boolean());
  EXPECT_EQ(reader.u8(), 0x12);
  EXPECT_EQ(reader.u16(), 0x1234);
  EXPECT_EQ(reader.u32(), 0x12345678u);
  EXPECT_EQ(reader.u64(), 0x123456789abcdef0u);
  const auto bytes = reader.bytes(5);
  EXPECT_EQ(std::vector<std::byte>(bytes.begin(), bytes.end()), bytes_of("bytes"));
  EXPECT_EQ(reader.string(6), "string");
  EXPECT_EQ((reader.object<std::array<uint16_t, 3>>()), (std::array<uint16_t, 3>{1, 2, 3}));
  take(reader.finish());
}

TEST(State, ReaderStaysFailed) {
  StateWriter writer;
  writer.u16(0xffff);
  StateReader reader(writer.data());
  EXPECT_EQ(reader.u32(), 0u);
  EXPECT_EQ(reader.u8(), 0) << "after a failure everything reads as zero";
  EXPECT_TRUE(reader.bytes(10).empty());
  EXPECT_TRUE(contains(error_of(reader.finish()), "ends after 2 bytes"));
}

TEST(State, ReaderRefusesBadFields) {
  StateWriter writer;
  writer.u64(std::numeric_limits<uint64_t>::max());
  StateReader huge(writer.data());
  EXPECT_TRUE(huge.bytes(std::numeric_limits<uint64_t>::max()).empty());
  EXPECT_TRUE(contains(error_of(huge.status()), "18446744073709551615 bytes"));

  StateWriter five;
  five.string("12345");
  StateReader limited(five.data());
  EXPECT_EQ(limited.string(4), "");
  EXPECT_FALSE(limited.status());
  StateReader wrong_size(five.data());
  EXPECT_EQ(wrong_size.object<uint64_t>(), 0u);
  EXPECT_TRUE(contains(error_of(wrong_size.status()), "5 bytes where 8 were expected"));

  StateWriter two;
  two.u8(2);
  StateReader boolean(two.data());
  boolean.boolean();
  EXPECT_TRUE(contains(error_of(boolean.status()), "holds 2 where 0 or 1"));
  StateReader rest(two.data());
  EXPECT_TRUE(contains(error_of(rest.finish()), "1 bytes more"));
}

class SavedState : public ::testing::Test {
 protected:
  void SetUp() override {
    first.number = 11;
    first.name = "one";
    second.number = 22;
    second.name = "two";
    state = take(save_state(components));
  }

  Component first{"first"};
  Component second{"second"};
  std::vector<Stateful*> components = {&first, &second};
  std::vector<std::byte> state;
};

TEST_F(SavedState, RoundTrips) {
  Component new_first("first");
  Component new_second("second");
  // The order does not matter.
  take(restore_state(state, std::vector<Stateful*>{&new_second, &new_first}));
  EXPECT_EQ(new_first.number, 11u);
  EXPECT_EQ(new_first.name, "one");
  EXPECT_EQ(new_second.number, 22u);
}

TEST_F(SavedState, NamesAnUnknownSection) {
  first.number = 99;
  EXPECT_TRUE(contains(error_of(restore_state(state, std::vector<Stateful*>{&first})),
                       "section \"second\" of the saved state belongs to no component"));
  EXPECT_EQ(first.number, 99u) << "nothing is changed";
}

TEST_F(SavedState, NamesAMissingSection) {
  Component third("third");
  components.push_back(&third);
  first.number = 99;
  EXPECT_TRUE(contains(error_of(restore_state(state, components)), "lacks section \"third\""));
  EXPECT_EQ(first.number, 99u);
}

TEST_F(SavedState, ReadsOldVersionsButNotFutureOnes) {
  Component old("first", 1);
  old.number = 5;
  const auto old_state = take(save_state(std::vector<Stateful*>{&old}));
  take(restore_state(old_state, std::vector<Stateful*>{&first}));
  EXPECT_EQ(first.number, 5u);
  EXPECT_EQ(first.name, "unnamed");

  const auto new_state = take(save_state(std::vector<Stateful*>{&first}));
  EXPECT_TRUE(contains(error_of(restore_state(new_state, std::vector<Stateful*>{&old})),
                       "section \"first\" of the saved state has version 2; versions 1 to 1"));
}

TEST_F(SavedState, NamesADoubledSection) {
  const auto doubled = take(save_state(std::vector<Stateful*>{&first, &first}));
  EXPECT_TRUE(contains(error_of(restore_state(doubled, std::vector<Stateful*>{&first})),
                       "\"first\" occurs twice"));
}

TEST_F(SavedState, NamesTheComponentThatCannotBeSaved) {
  second.broken = true;
  EXPECT_EQ(error_of(save_state(components)), "cannot save the state of second: it is broken");
}

TEST_F(SavedState, SurvivesEveryTruncation) {
  for (size_t size = 0; size < state.size(); ++size) {
    EXPECT_FALSE(restore_state(std::span(state).first(size), components)) << size;
  }
  state.push_back(std::byte{0});
  EXPECT_TRUE(contains(error_of(restore_state(state, components)), "1 bytes more"));
}

TEST_F(SavedState, NoticesEveryDamagedByte) {
  for (size_t i = 0; i < state.size(); ++i) {
    auto damaged = state;
    damaged[i] ^= std::byte{0x10};
    EXPECT_FALSE(restore_state(damaged, components)) << "byte " << i;
  }
}

TEST_F(SavedState, RefusesOtherFilesAndFormats) {
  EXPECT_TRUE(
      contains(error_of(restore_state(bytes_of("#!/bin/sh\n"), components)), "no saved state"));
  state[16] = std::byte{9};
  EXPECT_TRUE(contains(error_of(restore_state(state, components)), "has format 9"));
}

}  // namespace
}  // namespace ensemble::vmm
