#include "tests/integration/disk_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/integration/lane.h"

namespace ensemble::integration {

namespace {

// A busy host's disk is slow.
std::chrono::seconds tool_limit() {
  return std::chrono::seconds(60) * patience();
}

}  // namespace

DiskImage::DiskImage(std::uint64_t size) {
  std::ofstream(path_) << "";
  std::filesystem::resize_file(path_, size);
}

DiskImage::DiskImage(const DiskImage& other) {
  std::filesystem::copy_file(other.path_, path_);
}

Outcome DiskImage::tool(const std::string& name, Arguments arguments) const {
  arguments.push_back(path_);
  return ChildProcess("/usr/sbin/" + name, arguments).wait(tool_limit());
}

void DiskImage::expect_sound() const {
  const Outcome check = tool("e2fsck", {"-fn"});
  EXPECT_EQ(check.exit_code, 0) << check.output << check.errors;
  EXPECT_THAT(check.output, testing::Not(testing::HasSubstr("skipping journal recovery")));
}

void DiskImage::expect_sound_after_replay() const {
  const Outcome replay = tool("e2fsck", {"-fy"});
  EXPECT_LE(replay.exit_code, 1) << replay.output << replay.errors;
  EXPECT_THAT(replay.output, testing::Not(testing::HasSubstr("Fix")));
  expect_sound();
}

int power_cuts(int usual) {
  const char* wanted = std::getenv("ENSEMBLE_POWER_CUTS");
  return wanted == nullptr ? usual : std::atoi(wanted);
}

std::string cut_power(ChildProcess& device) {
  const std::string task = std::to_string(device.pid());
  pid_t machine = 0;
  std::ifstream("/proc/" + task + "/task/" + task + "/children") >> machine;
  EXPECT_GT(machine, 0) << "there is no machine to stop";
  if (machine > 0) {
    ::kill(machine, SIGKILL);
  }
  return device.wait(tool_limit()).output;
}

int last_number(const std::string& text, const std::string& word) {
  // The last line may be cut off.
  const std::size_t end = text.rfind('\n');
  const std::size_t at = end == text.npos ? end : text.rfind(word, end);
  return at == text.npos ? 0 : std::atoi(text.c_str() + at + word.size());
}

}  // namespace ensemble::integration
