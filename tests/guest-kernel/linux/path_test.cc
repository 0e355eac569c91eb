#include "guest-kernel/linux/server/path.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "guest-kernel/linux/server/root_archive.h"
#include "tests/guest-kernel/linux/archive_builder.h"

namespace linux_server {
namespace {

// The nodes live as long as the program, as they do in the server.
class PathTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto* bytes = new std::string(archive());
    root_ = new Directory("");
    root_->acquire();
    const auto result =
        read_root_archive(std::as_bytes(std::span(*bytes)), {}, kRootDevice, *root_);
    ASSERT_TRUE(result) << result.error().entry << ": " << result.error().reason;
  }
  static std::string archive();

  static std::string find(std::string_view path, bool follow = true, std::string_view start = "/") {
    const auto from = resolve(*root_, *root_, start, true, nullptr);
    const auto node = resolve(*root_, **from, path, follow, nullptr);
    if (!node) {
      return "errno " + std::to_string(node.error().number);
    }
    std::array<char, kMaximumPath> buffer;
    return std::string((*node)->path(buffer));
  }
  static std::string error(int number) { return "errno " + std::to_string(number); }

  static Directory* root_;
};

Directory* PathTest::root_ = nullptr;

std::string PathTest::archive() {
  ArchiveBuilder builder;
  builder.add({.name = "bin", .mode = 0040755});
  builder.add({.name = "bin/program", .mode = 0100755, .content = "program"});
  builder.add({.name = "./etc/deep/file", .mode = 0100644, .content = "contents"});
  builder.add({.name = "/etc/link", .mode = 0120777, .content = "deep/file"});
  builder.add({.name = "etc/absolute", .mode = 0120777, .content = "/bin/program"});
  builder.add({.name = "etc/folder", .mode = 0120777, .content = "deep"});
  builder.add({.name = "etc/up", .mode = 0120777, .content = "../.."});
  builder.add({.name = "etc/loop", .mode = 0120777, .content = "other"});
  builder.add({.name = "etc/other", .mode = 0120777, .content = "loop"});
  builder.add({.name = "etc/empty", .mode = 0120777, .content = ""});
  builder.add({.name = "etc/dangling", .mode = 0120777, .content = "nothing"});
  builder.add({.name = "hard1", .mode = 0100644, .inode = 77, .links = 2});
  builder.add({.name = "hard2", .mode = 0100644, .content = "shared", .inode = 77, .links = 2});
  return builder.finish();
}

TEST_F(PathTest, PlainNames) {
  EXPECT_EQ(find("/bin/program"), "/bin/program");
  EXPECT_EQ(find("//bin///program"), "/bin/program");
  EXPECT_EQ(find("/./bin/../etc/./deep/file"), "/etc/deep/file");
  EXPECT_EQ(find("/"), "/");
  EXPECT_EQ(find("/../../.."), "/");
  EXPECT_EQ(find("deep/file", true, "/etc"), "/etc/deep/file");
  EXPECT_EQ(find("..", true, "/etc/deep"), "/etc");
  EXPECT_EQ(find("/etc/deep/"), "/etc/deep");
}

TEST_F(PathTest, Links) {
  EXPECT_EQ(find("/etc/link"), "/etc/deep/file");
  EXPECT_EQ(find("/etc/link", false), "/etc/link");
  EXPECT_EQ(find("/etc/absolute"), "/bin/program");
  EXPECT_EQ(find("/etc/folder/file", false), "/etc/deep/file");
  EXPECT_EQ(find("/etc/folder/", false), "/etc/deep");
  EXPECT_EQ(find("/etc/up/bin"), "/bin");
  EXPECT_EQ(find("/etc/loop"), error(ELOOP));
  EXPECT_EQ(find("/etc/loop", false), "/etc/loop");
  EXPECT_EQ(find("/etc/empty"), error(ENOENT));
  EXPECT_EQ(find("/etc/dangling"), error(ENOENT));
}

TEST_F(PathTest, Errors) {
  EXPECT_EQ(find(""), error(ENOENT));
  EXPECT_EQ(find("/nothing"), error(ENOENT));
  EXPECT_EQ(find("/nothing/at/all"), error(ENOENT));
  EXPECT_EQ(find("/bin/program/"), error(ENOTDIR));
  EXPECT_EQ(find("/bin/program/x"), error(ENOTDIR));
  EXPECT_EQ(find("/bin/program/.."), error(ENOTDIR));
  EXPECT_EQ(find("/" + std::string(256, 'x')), error(ENAMETOOLONG));
  EXPECT_EQ(find("/" + std::string(255, 'x')), error(ENOENT));
  EXPECT_EQ(find(std::string(4096, '/')), error(ENAMETOOLONG));
  EXPECT_EQ(find(std::string(4095, '/')), "/");
}

TEST_F(PathTest, PlacesThatDoNotExistYet) {
  Place place;
  ASSERT_TRUE(resolve_place(*root_, *root_, "/etc/deep/new/", {}, nullptr, place));
  EXPECT_FALSE(place.node);
  EXPECT_EQ(place.directory->name(), "deep");
  EXPECT_EQ(place.name(), "new");
  EXPECT_EQ(place.last, LastComponent::kName);
  EXPECT_TRUE(place.ends_in_slash);
  Place other;
  EXPECT_FALSE(resolve_place(*root_, *root_, "/etc/none/new", {}, nullptr, other));
}

TEST_F(PathTest, LastComponents) {
  const auto last = [](std::string_view path) {
    Place place;
    EXPECT_TRUE(resolve_place(*root_, *root_, path, {}, nullptr, place));
    return place.last;
  };
  EXPECT_EQ(last("/"), LastComponent::kRoot);
  EXPECT_EQ(last("/etc/."), LastComponent::kDot);
  EXPECT_EQ(last("/etc/deep/.."), LastComponent::kDotDot);
  EXPECT_EQ(last("/etc/deep/../link"), LastComponent::kName);
}

TEST_F(PathTest, HardLinksShareContentsAndInode) {
  const auto first = resolve(*root_, *root_, "/hard1", true, nullptr);
  const auto second = resolve(*root_, *root_, "/hard2", true, nullptr);
  ASSERT_TRUE(first && second);
  EXPECT_EQ((*first)->contents().size(), 6u);
  EXPECT_EQ((*first)->contents().data(), (*second)->contents().data());
  EXPECT_EQ((*first)->attributes(nullptr).inode, (*second)->attributes(nullptr).inode);
}

TEST(RootArchiveTest, NamesWhatIsWrong) {
  const auto read = [](const std::string& bytes) {
    const Reference<Directory> root(new Directory(""));
    const auto result = read_root_archive(std::as_bytes(std::span(bytes)), {}, kRootDevice, *root);
    return result ? std::string("fine")
                  : std::string(result.error().entry) + "|" + std::string(result.error().reason);
  };
  ArchiveBuilder twice;
  twice.add({.name = "a", .mode = 0100644});
  twice.add({.name = "a", .mode = 0100644});
  EXPECT_EQ(read(twice.finish()), "a|an earlier entry has its name");
  ArchiveBuilder below_file;
  below_file.add({.name = "a", .mode = 0100644});
  below_file.add({.name = "a/b", .mode = 0100644});
  EXPECT_EQ(read(below_file.finish()), "a/b|its parent is no directory");
  ArchiveBuilder below_link;
  below_link.add({.name = "usr/bin", .mode = 0040755});
  below_link.add({.name = "bin", .mode = 0120777, .content = "usr/../usr/bin"});
  below_link.add({.name = "bin/a", .mode = 0100644});
  EXPECT_EQ(read(below_link.finish()), "fine");
  ArchiveBuilder same_file;
  same_file.add({.name = "usr/bin/a", .mode = 0100644});
  same_file.add({.name = "bin", .mode = 0120777, .content = "/usr/bin"});
  same_file.add({.name = "bin/a", .mode = 0100644});
  EXPECT_EQ(read(same_file.finish()), "bin/a|an earlier entry has its name");
  ArchiveBuilder loop;
  loop.add({.name = "loop", .mode = 0120777, .content = "loop"});
  loop.add({.name = "loop/a", .mode = 0100644});
  EXPECT_EQ(read(loop.finish()), "loop/a|its parent is no directory");
  ArchiveBuilder escape;
  escape.add({.name = "../a", .mode = 0100644});
  EXPECT_EQ(read(escape.finish()), "../a|its parent is no directory");
  EXPECT_EQ(read("garbage"), "|the archive is cut off");
  EXPECT_EQ(read(""), "fine");
}

}  // namespace
}  // namespace linux_server
