#include "guest-kernel/linux/server/line_discipline.h"

#include <gtest/gtest.h>

#include <string>

namespace linux_server {
namespace {

class LineDisciplineTest : public testing::Test, private EchoSink {
 protected:
  TerminalSignal type(const std::string& text) {
    TerminalSignal signal = TerminalSignal::kNone;
    for (const char byte : text) {
      signal = discipline_.receive(byte, *this);
    }
    return signal;
  }
  std::string read(std::size_t size = 100) {
    std::string buffer(size, '?');
    buffer.resize(discipline_.read(buffer));
    return buffer;
  }
  void change_local_flags(tcflag_t on, tcflag_t off) {
    termios settings = discipline_.settings();
    settings.c_lflag = (settings.c_lflag | on) & ~off;
    discipline_.set_settings(settings, false);
  }

  LineDiscipline discipline_;
  std::string echoed_;

 private:
  bool echo(char byte) override {
    echoed_ += byte;
    return true;
  }
};

TEST_F(LineDisciplineTest, GivesWholeLinesOneAtATime) {
  type("first");
  EXPECT_FALSE(discipline_.is_readable());
  type("\rsecond\nthird");
  EXPECT_EQ(read(), "first\n");
  EXPECT_EQ(read(3), "sec");
  EXPECT_EQ(read(), "ond\n");
  EXPECT_FALSE(discipline_.is_readable());
  EXPECT_EQ(echoed_, "first\r\nsecond\r\nthird");
}

TEST_F(LineDisciplineTest, EditsTheLine) {
  type(
      "abd\x7f"
      "c\n");
  EXPECT_EQ(read(), "abc\n");
  EXPECT_EQ(echoed_, "abd\b \bc\r\n");
  type("lost\x15kept\n");
  EXPECT_EQ(read(), "kept\n");
  type("one two \x17three\n");
  EXPECT_EQ(read(), "one three\n");
  type("\x7f\x7f\x15\x17x\n");
  EXPECT_EQ(read(), "x\n");
}

TEST_F(LineDisciplineTest, ErasesAWholeCharacter) {
  type(
      "a\xc3\xa4\x7f"
      "b\n");
  EXPECT_EQ(read(), "ab\n");
}

TEST_F(LineDisciplineTest, ErasingStopsAtAFinishedLine) {
  type("done\n\x7f\x7f\x15");
  EXPECT_EQ(read(), "done\n");
}

TEST_F(LineDisciplineTest, EndOfFile) {
  type("\x04");
  ASSERT_TRUE(discipline_.is_readable());
  EXPECT_EQ(read(), "");
  EXPECT_FALSE(discipline_.is_readable());
  type("part\x04");
  EXPECT_EQ(read(), "part");
  EXPECT_FALSE(discipline_.is_readable());
}

TEST_F(LineDisciplineTest, Signals) {
  EXPECT_EQ(type("typed\x03"), TerminalSignal::kInterrupt);
  EXPECT_EQ(echoed_, "typed^C");
  type("\n");
  EXPECT_EQ(read(), "\n");
  EXPECT_EQ(type("\x1c"), TerminalSignal::kQuit);
  EXPECT_EQ(type("\x1a"), TerminalSignal::kSuspend);
  change_local_flags(0, ISIG);
  EXPECT_EQ(type("\x03\n"), TerminalSignal::kNone);
  EXPECT_EQ(read(), "\x03\n");
}

TEST_F(LineDisciplineTest, RawMode) {
  change_local_flags(0, ICANON | ECHO);
  type("a");
  ASSERT_TRUE(discipline_.is_readable());
  type("\x7f\x04");
  EXPECT_EQ(read(), "a\x7f\x04");
  EXPECT_EQ(echoed_, "");
  EXPECT_FALSE(discipline_.is_readable());
}

TEST_F(LineDisciplineTest, MinimumOfRawMode) {
  termios settings = discipline_.settings();
  settings.c_lflag &= ~static_cast<tcflag_t>(ICANON);
  settings.c_cc[VMIN] = 3;
  discipline_.set_settings(settings, false);
  type("ab");
  EXPECT_FALSE(discipline_.is_readable());
  type("c");
  EXPECT_TRUE(discipline_.is_readable());
  settings.c_cc[VMIN] = 0;
  discipline_.set_settings(settings, true);
  // As poll(2) has it; a read gives nothing at once.
  EXPECT_FALSE(discipline_.is_readable());
  EXPECT_EQ(read(), "");
}

TEST_F(LineDisciplineTest, AnEndOfFileEndsAnUnfinishedLine) {
  type("abc\x04");
  type("def\n\x04");
  EXPECT_EQ(read(2), "ab");
  EXPECT_EQ(read(), "c");
  EXPECT_EQ(read(), "def\n");
  EXPECT_TRUE(discipline_.is_readable());
  EXPECT_EQ(read(), "");
  EXPECT_FALSE(discipline_.is_readable());
}

TEST_F(LineDisciplineTest, TakesTheNextByteLiterally) {
  EXPECT_EQ(type("\x16\x03\x16\x7f\n"), TerminalSignal::kNone);
  EXPECT_EQ(read(), "\x03\x7f\n");
}

TEST_F(LineDisciplineTest, StopsAndStartsTheOutput) {
  type(
      "a\x13"
      "b");
  EXPECT_TRUE(discipline_.is_output_stopped());
  type("\x11\n");
  EXPECT_FALSE(discipline_.is_output_stopped());
  EXPECT_EQ(read(), "ab\n");
}

TEST_F(LineDisciplineTest, HasRoomForALineThatNobodyCouldReadOtherwise) {
  type(std::string(5000, 'x'));
  EXPECT_TRUE(discipline_.has_room());
  type("\n");
  EXPECT_FALSE(discipline_.has_room());
  EXPECT_EQ(read(5000).size(), LineDiscipline::kCapacity);
  EXPECT_TRUE(discipline_.has_room());
}

TEST_F(LineDisciplineTest, LeavingCanonicalModeShowsTheUnfinishedLine) {
  type("half");
  change_local_flags(0, ICANON);
  EXPECT_EQ(read(), "half");
}

TEST_F(LineDisciplineTest, ALineThatIsTooLongCanStillBeEnded) {
  type(std::string(10000, 'x') + "\n");
  EXPECT_EQ(discipline_.readable_bytes(), LineDiscipline::kCapacity);
  std::string buffer(20000, '?');
  EXPECT_EQ(discipline_.read(buffer), LineDiscipline::kCapacity);
  EXPECT_EQ(buffer[LineDiscipline::kCapacity - 1], '\n');
  type("again\n");
  EXPECT_EQ(read(), "again\n");
}

TEST_F(LineDisciplineTest, HasMuchRoomWhenHalfIsRead) {
  const std::string line(1023, 'x');
  EXPECT_TRUE(discipline_.has_much_room());
  for (int count = 0; count < 3; ++count) {
    type(line + "\n");
  }
  type(line);
  EXPECT_FALSE(discipline_.has_room());
  EXPECT_EQ(read(2000).size(), 1024u);
  EXPECT_TRUE(discipline_.has_room());
  EXPECT_FALSE(discipline_.has_much_room());
  EXPECT_EQ(read(2000).size(), 1024u);
  EXPECT_TRUE(discipline_.has_much_room());
  // A line that never ends leaves nothing to wait for.
  EXPECT_EQ(read(2000).size(), 1024u);
  type(std::string(4000, 'y'));
  EXPECT_TRUE(discipline_.has_much_room());
}

TEST_F(LineDisciplineTest, Output) {
  std::array<char, 2> out;
  EXPECT_EQ(discipline_.transform_output('x', out), 1u);
  EXPECT_EQ(out[0], 'x');
  ASSERT_EQ(discipline_.transform_output('\n', out), 2u);
  EXPECT_EQ(out[0], '\r');
  EXPECT_EQ(out[1], '\n');
  termios settings = discipline_.settings();
  settings.c_oflag = 0;
  discipline_.set_settings(settings, false);
  EXPECT_EQ(discipline_.transform_output('\n', out), 1u);
}

}  // namespace
}  // namespace linux_server
