#include "control/escape_keys.h"

#include <gtest/gtest.h>

namespace ensemble::control {
namespace {

using Command = EscapeKeys::Command;

TEST(EscapeKeys, PassesOrdinaryKeysOn) {
  EscapeKeys keys;
  const auto outcome = keys.scan("ls -l\r\x03x");
  EXPECT_EQ(outcome.to_guest, "ls -l\r\x03x");
  EXPECT_EQ(outcome.command, Command::kNone);
  EXPECT_EQ(outcome.consumed, 8U);
}

TEST(EscapeKeys, StopsAtControlAX) {
  EscapeKeys keys;
  const auto outcome = keys.scan("ab\x01xcd");
  EXPECT_EQ(outcome.to_guest, "ab");
  EXPECT_EQ(outcome.command, Command::kStop);
  EXPECT_EQ(outcome.consumed, 4U);
}

TEST(EscapeKeys, RemembersControlAAcrossReads) {
  EscapeKeys keys;
  EXPECT_EQ(keys.scan("\x01").to_guest, "");
  EXPECT_EQ(keys.scan("x").command, Command::kStop);
}

TEST(EscapeKeys, SendsOneControlA) {
  EscapeKeys keys;
  EXPECT_EQ(keys.scan("\x01"
                      "a")
                .to_guest,
            "\x01");
  EXPECT_EQ(keys.scan("\x01\x01").to_guest, "\x01");
  EXPECT_EQ(keys.scan("x").to_guest, "x") << "the command ended with its second key";
}

TEST(EscapeKeys, PassesUnknownCommandsOnWhole) {
  EscapeKeys keys;
  EXPECT_EQ(keys.scan("\x01z").to_guest, "\x01z");
}

TEST(EscapeKeys, AsksForHelpAndGoesOn) {
  EscapeKeys keys;
  const auto outcome = keys.scan("\x01hrest");
  EXPECT_EQ(outcome.command, Command::kHelp);
  EXPECT_EQ(outcome.consumed, 2U);
  EXPECT_EQ(keys.scan("\x01?").command, Command::kHelp);
}

}  // namespace
}  // namespace ensemble::control
