// The commands that run no device.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "control/atomic_file.h"
#include "tests/control/running_command.h"
#include "tests/control/temporary_directory.h"

namespace ensemble::control {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

TEST(Command, HelpShowsExamplesAndExitCodes) {
  const auto overview = run_ensemble({"--help"});
  EXPECT_EQ(overview.exit_code, 0);
  EXPECT_THAT(overview.output, HasSubstr("ensemble run watch"));
  const auto run = run_ensemble({"run", "--help"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.output, HasSubstr("125      Ensemble itself failed"));
  EXPECT_THAT(run.output, HasSubstr("[-- COMMAND"));
}

TEST(Command, VersionIsPrinted) {
  const auto result = run_ensemble({"version"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.output, testing::MatchesRegex("ensemble [0-9]+\\.[0-9]+\\.[0-9]+\n"));
  EXPECT_EQ(run_ensemble({"--version"}).output, result.output);
}

TEST(Command, AFullOutputIsAnError) {
  RunningCommand command({.arguments = {"version"},
                          .environment = {},
                          .input = {},
                          .output_file = "/dev/full",
                          .unprivileged = false});
  const auto result = command.finish();
  EXPECT_EQ(result.exit_code, 125);
  EXPECT_THAT(result.errors, HasSubstr("No space left on device"));
}

TEST(ProfileCommand, ListsTheProfiles) {
  const auto text = run_ensemble({"profile", "list"});
  EXPECT_EQ(text.exit_code, 0);
  for (const char* name : {"phone", "tablet", "watch"}) {
    EXPECT_THAT(text.output, HasSubstr(name));
  }
  const Json json = Json::parse(run_ensemble({"profile", "list", "--output", "json"}).output);
  ASSERT_EQ(json.size(), 3U);
  EXPECT_EQ(json[0]["name"], "phone");
  EXPECT_FALSE(json[0]["model"].get<std::string>().empty());
}

TEST(ProfileCommand, ShowsOneWithAllThatItInherits) {
  const auto text = run_ensemble({"profile", "show", "watch"});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.output, HasSubstr("round"));
  const Json json =
      Json::parse(run_ensemble({"profile", "show", "watch", "--output", "json"}).output);
  EXPECT_EQ(json["name"], "watch");
}

TEST(ProfileCommand, ValidatesAFile) {
  const TemporaryDirectory directory;
  const std::string path = directory.path("mine.yaml");
  ASSERT_TRUE(write_file_atomically(path, "extends: watch\nmodel: Mine\n"));
  const auto good = run_ensemble({"profile", "validate", path});
  EXPECT_EQ(good.exit_code, 0);
  EXPECT_THAT(good.output, HasSubstr("Mine"));

  ASSERT_TRUE(write_file_atomically(path, "extends: watch\nwings: 2\n"));
  const auto bad = run_ensemble({"profile", "validate", path});
  EXPECT_EQ(bad.exit_code, 125);
  EXPECT_THAT(bad.errors, HasSubstr(path + ":2:1"));
  const auto json = run_ensemble({"profile", "validate", path, "--output", "json"});
  EXPECT_EQ(json.exit_code, 125);
  const Json verdict = Json::parse(json.output);
  EXPECT_EQ(verdict["valid"], false);
  EXPECT_THAT(verdict["error"].get<std::string>(), HasSubstr("wings"));
}

const Json* find_check(const Json& diagnosis, const std::string& name) {
  for (const Json& check : diagnosis["checks"]) {
    if (check["name"] == name) {
      return &check;
    }
  }
  return nullptr;
}

TEST(Doctor, MeasuresThisHost) {
  if (::access("/dev/kvm", R_OK | W_OK) != 0) {
    GTEST_SKIP() << "needs /dev/kvm";
  }
  const Json diagnosis = Json::parse(run_ensemble({"doctor", "--output", "json"}).output);
  EXPECT_THAT(diagnosis["kvm"]["module"].get<std::string>(), testing::StartsWith("kvm"));
  const double ring0 = diagnosis["kvm"]["ring0_ns_per_instruction"];
  const double ring3 = diagnosis["kvm"]["ring3_ns_per_instruction"];
  EXPECT_GT(ring0, 0);
  EXPECT_GT(ring3, 0);
  EXPECT_EQ(diagnosis["kvm"]["ring0"], ring0 > 20 * ring3 ? "interpreted" : "native");
  ASSERT_NE(find_check(diagnosis, "kvm"), nullptr);
  EXPECT_EQ((*find_check(diagnosis, "kvm"))["verdict"], "good");
}

TEST(Doctor, SaysHowToMendAMissingKvm) {
  const std::map<std::string, std::string> environment = {
      {"ENSEMBLE_KVM_DEVICE", "/nonexistent/kvm"}, {"LIBVIRT_DRIVER_DIR", "/nonexistent"}};
  const auto text = run_ensemble({"doctor"}, environment);
  EXPECT_EQ(text.exit_code, 1);
  EXPECT_THAT(text.output, HasSubstr("mend: "));
  const auto result = run_ensemble({"doctor", "--output", "json"}, environment);
  EXPECT_EQ(result.exit_code, 1);
  const Json diagnosis = Json::parse(result.output);
  EXPECT_EQ(diagnosis["ready"], false);
  EXPECT_TRUE(diagnosis["kvm"].is_null());
  const Json* check = find_check(diagnosis, "kvm");
  ASSERT_NE(check, nullptr);
  EXPECT_EQ((*check)["verdict"], "bad");
  EXPECT_FALSE((*check)["mend"].is_null());
  const Json* qemu = find_check(diagnosis, "qemu");
  ASSERT_NE(qemu, nullptr);
  EXPECT_EQ((*qemu)["verdict"], "bad");
  EXPECT_THAT((*qemu)["mend"].get<std::string>(), HasSubstr("libvirt-daemon-driver-qemu"));
}

TEST(Doctor, FindsMissingGuestFiles) {
  const auto result =
      run_ensemble({"doctor", "--output", "json"}, {{"ENSEMBLE_GUEST_DIR", "/nonexistent"}});
  EXPECT_EQ(result.exit_code, 1);
  const Json diagnosis = Json::parse(result.output);
  const Json* check = find_check(diagnosis, "kernel");
  ASSERT_NE(check, nullptr);
  EXPECT_EQ((*check)["verdict"], "bad");
  EXPECT_THAT((*check)["finding"].get<std::string>(), HasSubstr("/nonexistent/nucleus.elf"));
}

}  // namespace
}  // namespace ensemble::control
