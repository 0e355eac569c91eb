#include "device-model/profile_loader.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "temporary_folder.h"

namespace ensemble::device {
namespace {

const std::vector<std::filesystem::path> kBuiltIn = {ENSEMBLE_TEST_PROFILES_DIRECTORY};

std::string error_of(const std::filesystem::path& path) {
  const auto profile = load_profile(path.string(), kBuiltIn);
  return profile ? "accepted" : profile.error().message();
}

TEST(ProfileLoader, ExtendsABuiltInName) {
  const TemporaryFolder folder;
  const auto path = folder.write(
      "My_Ring.yaml",
      "extends: watch\nmodel: Ring\nmemory: 32 MiB\nscreen: ~\ninput: {touch: ~, crown: ~}\n");
  const auto profile = load_profile(path.string(), kBuiltIn);
  ASSERT_TRUE(profile) << profile.error().message();
  EXPECT_EQ(profile->name, "my-ring");
  EXPECT_EQ(profile->path, path.string());
  EXPECT_EQ(profile->model, "Ring");
  EXPECT_EQ(profile->memory, 32ULL << 20);
  EXPECT_FALSE(profile->screen);
  EXPECT_FALSE(profile->crown);
  EXPECT_EQ(profile->buttons.size(), 1U);
  EXPECT_EQ(profile->sensors.size(), 5U);
}

TEST(ProfileLoader, ExtendsARelativePath) {
  const TemporaryFolder folder;
  folder.write("common.yaml", "extends: phone\nabstract: true\ncpus: 2\n");
  const auto path = folder.write("mine.yaml", "extends: ./common.yaml\n");
  const auto profile = load_profile(path.string(), kBuiltIn);
  ASSERT_TRUE(profile) << profile.error().message();
  EXPECT_EQ(profile->cpus, 2U);
  EXPECT_EQ(profile->screen->width, 1080U);
}

TEST(ProfileLoader, ErrorsInAnAncestorNameItsFile) {
  const TemporaryFolder folder;
  const auto parent = folder.write("parent.yaml", "model: P\ncpus: 99\nmemory: 1 GiB\n");
  EXPECT_EQ(error_of(folder.write("child.yaml", "extends: parent\nmodel: C\n")),
            parent.string() + ":2:7: expected a whole number from 1 to 8, but found '99'");
}

TEST(ProfileLoader, CyclesAreShownAsAChain) {
  const TemporaryFolder folder;
  const std::string a = folder.write("a.yaml", "extends: b\n").string();
  const std::string b = folder.write("b.yaml", "model: B\nextends: ./c.yaml\n").string();
  const std::string c = folder.write("c.yaml", "extends: a\n").string();
  const std::string message = error_of(a);
  EXPECT_NE(message.find("extend each other in a circle"), std::string::npos) << message;
  EXPECT_NE(message.find(a + " -> " + b), std::string::npos) << message;
  EXPECT_NE(message.find("c.yaml:1:10: "), std::string::npos) << message;
  EXPECT_NE(error_of(folder.write("self.yaml", "extends: self\n")).find("circle"),
            std::string::npos);
}

TEST(ProfileLoader, InheritanceIsBounded) {
  const TemporaryFolder folder;
  for (int i = 0; i < 20; ++i) {
    folder.write("p" + std::to_string(i) + ".yaml", "extends: p" + std::to_string(i + 1) + "\n");
  }
  EXPECT_NE(error_of(folder.path() / "p0.yaml").find("more than 16 profiles"), std::string::npos);
}

TEST(ProfileLoader, UnreadableFilesAreNamed) {
  const TemporaryFolder folder;
  EXPECT_EQ(error_of("/nonexistent/x.yaml"),
            "cannot open profile /nonexistent/x.yaml: No such file or directory");
  EXPECT_EQ(
      error_of(folder.path() / "x/"),
      "cannot open profile " + (folder.path() / "x/").string() + ": No such file or directory");
  EXPECT_NE(error_of(folder.path()).find("not a regular file"), std::string::npos);
  const std::string pipe = (folder.path() / "pipe.yaml").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_NE(error_of(pipe).find("not a regular file"), std::string::npos);
  EXPECT_NE(error_of("/dev/zero").find("not a regular file"), std::string::npos);
  const auto child = folder.write("child.yaml", "extends: ./gone.yaml\n");
  EXPECT_NE(error_of(child).find("child.yaml:1:10: cannot open profile"), std::string::npos);
  EXPECT_NE(error_of(folder.write("list.yaml", "extends: [a]\n"))
                .find("list.yaml:1:10: expected the name or path of a profile, but found a list"),
            std::string::npos);
  EXPECT_NE(error_of(folder.write("big.yaml", std::string(1'000'000, '#'))).find("larger than"),
            std::string::npos);
}

TEST(ProfileLoader, UnknownNamesGetAHint) {
  EXPECT_EQ(load_profile("fone", kBuiltIn).error().message(),
            "unknown profile 'fone'; did you mean 'phone'? Expected one of: phone, tablet, watch, "
            "or the path of a YAML file");
  EXPECT_NE(load_profile("phone", {}).error().message().find("ENSEMBLE_PROFILES_DIR"),
            std::string::npos);
}

TEST(ProfileLoader, AbstractProfilesCannotBeRun) {
  EXPECT_NE(load_profile("base", kBuiltIn).error().message().find("is abstract"),
            std::string::npos);
}

TEST(ProfileLoader, ListsWhatCanBeRun) {
  const TemporaryFolder folder;
  folder.write("phone.yaml", "extends: watch\n");
  folder.write("broken.yaml", "{{{");
  folder.write("notes.txt", "");
  const auto list =
      list_profiles({folder.path(), ENSEMBLE_TEST_PROFILES_DIRECTORY, "/nonexistent"});
  std::vector<std::string> names;
  for (const ProfileEntry& entry : list) {
    names.push_back(entry.name);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"broken", "phone", "tablet", "watch"}));
  EXPECT_EQ(list[1].path, folder.path() / "phone.yaml");
}

TEST(ProfileLoader, TheEnvironmentComesFirst) {
  const TemporaryFolder folder;
  ASSERT_EQ(::setenv("ENSEMBLE_PROFILES_DIR", folder.path().c_str(), 1), 0);
  EXPECT_EQ(profile_search_path().front(), folder.path());
  ASSERT_EQ(::unsetenv("ENSEMBLE_PROFILES_DIR"), 0);
  EXPECT_TRUE(load_profile("phone"));
}

TEST(ProfileLoader, ReadsFromMemory) {
  const auto profile = parse_profile("extends: tablet\nmodel: T\n", "t.yaml", kBuiltIn);
  ASSERT_TRUE(profile) << profile.error().message();
  EXPECT_TRUE(profile->keyboard_dock);
}

}  // namespace
}  // namespace ensemble::device
