#include "guest-kernel/linux/server/files/tmpfs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/server/path.h"
#include "tests/guest-kernel/linux/test_memory.h"

namespace linux_server {
namespace {

constexpr std::uint64_t kPage = 4096;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

class TmpfsTest : public testing::Test {
 protected:
  TmpfsTest() : before_(memory_pool().available()), root_(new Directory("")) {
    NewNode what;
    what.mode = kDirectory | 0755;
    top_ = new TmpfsDirectory(Name("top"), what, 40);
    EXPECT_TRUE(root_->add_child(top_.get()));
  }

  static Reference<Node> make(Node& directory, std::string_view name,
                              std::uint32_t mode = kRegularFile | 0644) {
    NewNode what;
    what.mode = mode;
    const auto made = directory.create(name, what);
    EXPECT_TRUE(made);
    return made ? *made : Reference<Node>();
  }
  static int error_of(const Result<void>& result) { return result ? 0 : result.error().number; }
  static std::vector<std::string> list(Node& directory) {
    std::vector<std::string> names;
    DirectoryItem item;
    while (directory.next_entry(item.position, nullptr, item)) {
      names.emplace_back(item.name);
    }
    return names;
  }
  static std::string path(const Node& node) {
    std::array<char, kMaximumPath> buffer;
    return std::string(node.path_and_state(buffer));
  }
  static std::string read(Node& node, std::uint64_t offset, std::size_t size) {
    std::string text(size, '?');
    const auto done = node.read_bytes(offset, std::as_writable_bytes(std::span(text)));
    EXPECT_GE(done, 0);
    text.resize(static_cast<std::size_t>(std::max<std::int64_t>(done, 0)));
    return text;
  }

  std::uint64_t before_;
  Reference<Directory> root_;
  Reference<TmpfsDirectory> top_;
};

TEST_F(TmpfsTest, NamesComeAndGo) {
  const auto first = make(*top_, "first");
  make(*top_, "second", kDirectory | 0755);
  EXPECT_EQ(top_->look_up("first", nullptr).get(), first.get());
  EXPECT_EQ(list(*top_), (std::vector<std::string>{"first", "second"}));
  EXPECT_EQ(top_->attributes(nullptr).links, 3u);
  EXPECT_EQ(path(*first), "/top/first");

  const auto second = top_->look_up("second", nullptr);
  make(*second, "inner");
  EXPECT_EQ(error_of(top_->remove("second", *second)), ENOTEMPTY);
  EXPECT_EQ(error_of(second->remove("inner", *second->look_up("inner", nullptr))), 0);
  EXPECT_EQ(error_of(top_->remove("second", *second)), 0);
  EXPECT_EQ(top_->attributes(nullptr).links, 2u);
  EXPECT_TRUE(second->is_removed());
  EXPECT_EQ(path(*second), "/top/second (deleted)");
  NewNode what;
  what.mode = kRegularFile;
  EXPECT_FALSE(second->create("late", what));
}

TEST_F(TmpfsTest, UnlinkedFilesLiveOn) {
  auto file = make(*top_, "file");
  const auto memory = memory_pool().available();
  ASSERT_EQ(file->memory_file()->write(bytes_of("contents"), 0), 8);
  EXPECT_EQ(error_of(top_->remove("file", *file)), 0);
  EXPECT_EQ(read(*file, 0, 100), "contents");
  EXPECT_EQ(file->attributes(nullptr).links, 0u);
  file.reset();
  EXPECT_EQ(memory_pool().available(), memory);
}

TEST_F(TmpfsTest, HardLinks) {
  const auto file = make(*top_, "one");
  EXPECT_EQ(error_of(top_->link("two", *file)), 0);
  EXPECT_EQ(file->attributes(nullptr).links, 2u);
  EXPECT_EQ(top_->look_up("one", nullptr)->name(), "one");
  EXPECT_EQ(top_->look_up("two", nullptr)->name(), "two");
  EXPECT_EQ(error_of(top_->remove("two", *file)), 0);
  EXPECT_EQ(file->attributes(nullptr).links, 1u);
  EXPECT_EQ(list(*top_), (std::vector<std::string>{"one"}));
}

TEST_F(TmpfsTest, Renaming) {
  const auto directory = make(*top_, "directory", kDirectory | 0755);
  const auto file = make(*top_, "file");
  EXPECT_EQ(error_of(top_->rename("file", *file, *directory, "moved", nullptr, false)), 0);
  EXPECT_EQ(path(*file), "/top/directory/moved");
  EXPECT_EQ(top_->look_up("file", nullptr).get(), nullptr);

  const auto other = make(*top_, "other");
  EXPECT_EQ(error_of(directory->rename("moved", *file, *top_, "other", other.get(), false)), 0);
  EXPECT_EQ(top_->look_up("other", nullptr).get(), file.get());
  EXPECT_TRUE(other->is_removed());

  const auto inner = make(*directory, "inner", kDirectory | 0755);
  EXPECT_EQ(error_of(top_->rename("other", *file, *directory, "inner", inner.get(), true)), 0);
  EXPECT_EQ(path(*file), "/top/directory/inner");
  EXPECT_EQ(path(*inner), "/top/other");
  EXPECT_EQ(top_->attributes(nullptr).links, 4u);
  EXPECT_EQ(directory->attributes(nullptr).links, 2u);
}

// Removing all that was listed, batch by batch, forgets nothing and repeats nothing.
TEST_F(TmpfsTest, ListingWhileRemoving) {
  constexpr unsigned kFiles = 1000;
  for (unsigned number = 0; number < kFiles; ++number) {
    make(*top_, "file" + std::to_string(number));
  }
  std::set<std::string> seen;
  DirectoryItem item;
  unsigned step = 0;
  while (top_->next_entry(item.position, nullptr, item)) {
    const std::string name(item.name);
    EXPECT_TRUE(seen.insert(name).second) << name;
    if (++step % 3 != 0) {
      EXPECT_EQ(error_of(top_->remove(name, *top_->look_up(name, nullptr))), 0);
    }
    if (step % 10 == 0 && step < 500) {
      make(*top_, "late" + std::to_string(step));
    }
  }
  for (unsigned number = 0; number < kFiles; ++number) {
    EXPECT_TRUE(seen.contains("file" + std::to_string(number)));
  }
  for (const std::string& name : list(*top_)) {
    EXPECT_EQ(top_->look_up(name, nullptr)->name(), name);
  }
}

TEST_F(TmpfsTest, SparseFiles) {
  const auto node = make(*top_, "sparse");
  TmpfsFile& file = *node->memory_file();
  const std::uint64_t far = std::uint64_t{1} << 40;
  EXPECT_EQ(file.write(bytes_of("end"), far), 3);
  EXPECT_EQ(file.size(), far + 3);
  EXPECT_EQ(file.attributes(nullptr).allocated, kPage);
  EXPECT_EQ(read(file, far - 2, 100), std::string("\0\0end", 5));
  EXPECT_EQ(read(file, 12345, 3), std::string(3, '\0'));
  EXPECT_EQ(file.seek(SeekTarget::kData, 0), far);
  EXPECT_EQ(file.seek(SeekTarget::kHole, 0), 0u);
  EXPECT_EQ(file.seek(SeekTarget::kHole, far), far + 3);
  EXPECT_EQ(file.write(bytes_of("x"), 0x7fff'ffff'ffff'fffe), 1);
  EXPECT_EQ(file.write(bytes_of("x"), 0x7fff'ffff'ffff'ffff), -EFBIG);
  EXPECT_EQ(error_of(file.truncate(0)), 0);
  EXPECT_EQ(file.attributes(nullptr).allocated, 0u);
}

TEST_F(TmpfsTest, TruncatedBytesReadAsZeroAgain) {
  const auto node = make(*top_, "file");
  TmpfsFile& file = *node->memory_file();
  EXPECT_EQ(file.write(bytes_of(std::string(3 * kPage, 'a')), 0), 3 * kPage);
  EXPECT_EQ(error_of(file.truncate(kPage + 1)), 0);
  EXPECT_EQ(error_of(file.truncate(2 * kPage)), 0);
  EXPECT_EQ(read(file, kPage, 3), std::string("a\0\0", 3));
  EXPECT_EQ(error_of(file.allocate(AllocationKind::kPunchHole, 1, 2)), 0);
  EXPECT_EQ(read(file, 0, 4), std::string("a\0\0a", 4));
  EXPECT_EQ(error_of(file.allocate(AllocationKind::kPunchHole, 0, 2 * kPage)), 0);
  EXPECT_EQ(file.attributes(nullptr).allocated, 0u);
  EXPECT_EQ(error_of(file.allocate(AllocationKind::kKeepSize, 5 * kPage, 1)), 0);
  EXPECT_EQ(file.size(), 2 * kPage);
  EXPECT_EQ(file.attributes(nullptr).allocated, kPage);
  EXPECT_EQ(error_of(file.allocate(AllocationKind::kAllocate, 5 * kPage, 1)), 0);
  EXPECT_EQ(file.size(), 5 * kPage + 1);
}

TEST_F(TmpfsTest, MemoryEndsInAnErrorAndComesBack) {
  const std::uint64_t used = file_memory_used();
  auto node = make(*top_, "file");
  const std::string chunk(64 * kPage, 'x');
  std::int64_t done = 0;
  std::uint64_t at = 0;
  while ((done = node->memory_file()->write(bytes_of(chunk), at)) > 0) {
    at += static_cast<std::uint64_t>(done);
  }
  EXPECT_EQ(done, -ENOSPC);
  EXPECT_LE(at, memory_pool().total() / 2);
  EXPECT_EQ(error_of(node->allocate(AllocationKind::kAllocate, at, kPage)), ENOSPC);
  EXPECT_EQ(node->size(), at);
  EXPECT_EQ(error_of(top_->remove("file", *node)), 0);
  node.reset();
  EXPECT_EQ(file_memory_used(), used);
  EXPECT_EQ(memory_pool().available(), before_);
}

TEST_F(TmpfsTest, Seals) {
  const auto made = make_memory_file("/memfd:x", {});
  ASSERT_TRUE(made);
  TmpfsFile& file = **made;
  EXPECT_EQ(path(file), "/memfd:x (deleted)");
  EXPECT_EQ(file.write(bytes_of("0123456789"), 0), 10);
  file.set_seals(kSealGrow);
  EXPECT_EQ(file.write(bytes_of("abcd"), 8), -EPERM);
  EXPECT_EQ(file.write(bytes_of("ab"), 8), 2);
  EXPECT_EQ(file.write(bytes_of("abcd"), 10), -EPERM);
  EXPECT_EQ(error_of(file.truncate(11)), EPERM);
  EXPECT_EQ(error_of(file.truncate(5)), 0);
  file.set_seals(kSealShrink | kSealWrite);
  EXPECT_EQ(error_of(file.truncate(1)), EPERM);
  EXPECT_EQ(file.write(bytes_of("a"), 0), -EPERM);
}

TEST_F(TmpfsTest, Times) {
  set_file_time(5000);
  const auto node = make(*top_, "file");
  set_file_time(6000);
  EXPECT_EQ(node->memory_file()->write(bytes_of("x"), 0), 1);
  EXPECT_EQ(node->attributes(nullptr).created, 5000);
  EXPECT_EQ(node->attributes(nullptr).modified, 6000);
  set_file_time(7000);
  AttributeChange change;
  change.permissions = 0600;
  EXPECT_EQ(error_of(node->change(change)), 0);
  EXPECT_EQ(node->attributes(nullptr).mode, kRegularFile | 0600u);
  EXPECT_EQ(node->attributes(nullptr).modified, 6000);
  EXPECT_EQ(node->attributes(nullptr).changed, 7000);
}

TEST_F(TmpfsTest, NamesAreCounted) {
  const std::uint64_t before = InodeShare::used();
  const auto file = make(*top_, "file");
  EXPECT_EQ(InodeShare::used(), before + 1);
  EXPECT_EQ(error_of(top_->link("second", *file)), 0);
  EXPECT_EQ(InodeShare::used(), before + 2);
  make(*top_, "other");
  EXPECT_EQ(error_of(top_->rename("other", *top_->look_up("other", nullptr), *top_, "second",
                                  file.get(), false)),
            0);
  EXPECT_EQ(InodeShare::used(), before + 2);
  std::vector<std::string> names;
  for (;;) {
    NewNode what;
    what.mode = kRegularFile | 0644;
    names.push_back(std::to_string(names.size()));
    if (const auto made = top_->create(names.back(), what); !made) {
      EXPECT_EQ(made.error().number, ENOSPC);
      break;
    }
    ASSERT_LT(names.size(), 100'000u);
  }
  EXPECT_EQ(InodeShare::used(), InodeShare::limit());
  EXPECT_EQ(error_of(top_->link("third", *file)), ENOSPC);
  names.pop_back();
  for (const std::string& name : names) {
    EXPECT_EQ(error_of(top_->remove(name, *top_->look_up(name, nullptr))), 0);
  }
  EXPECT_EQ(InodeShare::used(), before + 2);
}

TEST_F(TmpfsTest, TheFirstNameOfAFileIsCountedWithIt) {
  const std::uint64_t before = InodeShare::used();
  NewNode what;
  what.mode = kRegularFile | 0644;
  {
    const auto file = top_->create_unnamed(what);
    ASSERT_TRUE(file);
    EXPECT_EQ(InodeShare::used(), before + 1);
    EXPECT_EQ(error_of(top_->link("named", **file)), 0);
    EXPECT_EQ(InodeShare::used(), before + 1);
    EXPECT_EQ(error_of(top_->remove("named", **file)), 0);
  }
  EXPECT_EQ(InodeShare::used(), before);
}

TEST_F(TmpfsTest, AllNamesGoWithTheirFileSystem) {
  const std::uint64_t before = InodeShare::used();
  {
    NewNode what;
    what.mode = kDirectory | 0755;
    const Reference<TmpfsDirectory> other(new TmpfsDirectory(Name("other"), what, 41));
    const auto file = make(*other, "file");
    EXPECT_EQ(error_of(other->link("second", *file)), 0);
    EXPECT_EQ(error_of(other->link("third", *file)), 0);
    EXPECT_EQ(InodeShare::used(), before + 4);
    clear_tmpfs(*other);
  }
  EXPECT_EQ(InodeShare::used(), before);
}

TEST_F(TmpfsTest, WhatIsNoPageCountsToo) {
  const std::uint64_t before = file_memory_used();
  const auto node = make(*top_, "sparse");
  std::uint64_t pages = 0;
  // A byte every 2^36 bytes needs levels of its own each time.
  while (node->memory_file()->write(bytes_of("x"), pages << 36) == 1) {
    ASSERT_LT(++pages, 100'000u);
  }
  EXPECT_LT(pages, file_memory_limit() * 3 / 4);
  EXPECT_LE(file_memory_used(), file_memory_limit());
  EXPECT_EQ(node->attributes(nullptr).allocated, pages * kPage);
  EXPECT_EQ(error_of(node->truncate(0)), 0);
  EXPECT_EQ(file_memory_used(), before);

  const std::string target(4000, 'x');
  NewNode what;
  what.mode = kSymbolicLink | 0777;
  what.target = target;
  const auto link = top_->create("link", what);
  ASSERT_TRUE(link);
  EXPECT_EQ(file_memory_used(), before + 1);
  EXPECT_EQ(error_of(top_->remove("link", **link)), 0);
}

}  // namespace
}  // namespace linux_server
