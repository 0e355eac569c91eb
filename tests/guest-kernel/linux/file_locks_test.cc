#include "guest-kernel/linux/server/file_locks.h"

#include <gtest/gtest.h>

#include "guest-kernel/linux/server/memory_share.h"

namespace linux_server {
namespace {

int first_owner = 0;
int second_owner = 0;
int third_owner = 0;

RecordLock lock(const void* owner, std::uint64_t start, std::uint64_t last, bool exclusive) {
  RecordLock result;
  result.owner = owner;
  result.start = start;
  result.last = last;
  result.exclusive = exclusive;
  return result;
}

TEST(FileLocksTest, Conflicts) {
  FileLocks locks;
  ASSERT_TRUE(locks.take(lock(&first_owner, 10, 19, false)));
  EXPECT_EQ(locks.conflict(lock(&second_owner, 0, 100, false)), nullptr);
  EXPECT_NE(locks.conflict(lock(&second_owner, 19, 19, true)), nullptr);
  EXPECT_EQ(locks.conflict(lock(&second_owner, 20, 30, true)), nullptr);
  EXPECT_EQ(locks.conflict(lock(&first_owner, 0, 100, true)), nullptr);
}

TEST(FileLocksTest, SplittingAndJoining) {
  FileLocks locks;
  ASSERT_TRUE(locks.take(lock(&first_owner, 0, 99, true)));
  ASSERT_TRUE(locks.give_up(lock(&first_owner, 40, 59, true)));
  EXPECT_EQ(locks.conflict(lock(&second_owner, 40, 59, true)), nullptr);
  const RecordLock* found = locks.conflict(lock(&second_owner, 30, 70, false));
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->start, 0u);
  EXPECT_EQ(found->last, 39u);
  ASSERT_TRUE(locks.take(lock(&first_owner, 40, 59, true)));
  found = locks.conflict(lock(&second_owner, 99, 99, false));
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->start, 0u);
  EXPECT_EQ(found->last, 99u);
  // A part becomes shared.
  ASSERT_TRUE(locks.take(lock(&first_owner, 50, 59, false)));
  EXPECT_EQ(locks.conflict(lock(&second_owner, 50, 59, false)), nullptr);
  EXPECT_NE(locks.conflict(lock(&second_owner, 49, 49, false)), nullptr);
  locks.release(&first_owner);
  EXPECT_EQ(locks.conflict(lock(&second_owner, 0, ~std::uint64_t{0}, true)), nullptr);
}

TEST(FileLocksTest, WholeFiles) {
  FileLocks locks;
  ASSERT_TRUE(locks.lock_whole(&first_owner, false));
  EXPECT_TRUE(locks.may_lock_whole(&second_owner, false));
  EXPECT_FALSE(locks.may_lock_whole(&second_owner, true));
  EXPECT_TRUE(locks.may_lock_whole(&first_owner, true));
  EXPECT_EQ(locks.conflict(lock(&second_owner, 0, 10, true)), nullptr);
  locks.unlock_whole(&first_owner);
  EXPECT_TRUE(locks.may_lock_whole(&second_owner, true));
}

TEST(FileLocksTest, Deadlocks) {
  LockWaits waits;
  const Task first;
  const Task second;
  const Task third;
  ASSERT_TRUE(waits.add(&first, &first_owner, &second_owner));
  EXPECT_TRUE(waits.would_deadlock(&second_owner, &first_owner));
  EXPECT_FALSE(waits.would_deadlock(&third_owner, &first_owner));
  ASSERT_TRUE(waits.add(&second, &second_owner, &third_owner));
  EXPECT_TRUE(waits.would_deadlock(&third_owner, &first_owner));
  waits.remove(&first);
  EXPECT_FALSE(waits.would_deadlock(&third_owner, &first_owner));
  waits.remove_owner(&second_owner);
  EXPECT_FALSE(waits.would_deadlock(&third_owner, &second_owner));
}

TEST(FileLocksTest, AreRefusedWhereAllAreTaken) {
  const std::uint64_t before = locks_share.used();
  {
    FileLocks locks;
    FileLocks modest;
    ASSERT_TRUE(modest.take(lock(&second_owner, 0, 9, true)));
    std::uint64_t count = 0;
    while (locks.take(lock(&first_owner, count * 2, count * 2, true))) {
      ASSERT_LT(++count, 100'000u);
    }
    EXPECT_GT(count, 1000u);
    FileLocks others;
    const auto refused = others.take(lock(&second_owner, 0, 0, true));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().number, ENOLCK);
    EXPECT_FALSE(others.lock_whole(&second_owner, true));
    // What one has can be given up all the same, as long as it does not fall into two.
    const auto split = modest.give_up(lock(&second_owner, 5, 5, true));
    EXPECT_TRUE(!split && split.error().number == ENOLCK);
    EXPECT_TRUE(modest.give_up(lock(&second_owner, 0, 4, true)));
    EXPECT_TRUE(modest.give_up(lock(&second_owner, 0, 9, true)));
    locks.release(&first_owner);
    EXPECT_TRUE(others.take(lock(&second_owner, 0, 0, true)));
    EXPECT_TRUE(others.lock_whole(&second_owner, true));
  }
  EXPECT_EQ(locks_share.used(), before);
}

}  // namespace
}  // namespace linux_server
