#include "guest-kernel/linux/server/refused_groups.h"

#include <gtest/gtest.h>

namespace linux_server {
namespace {

constexpr std::uint64_t kRest = RefusedGroups::kRestNs;
constexpr std::uint64_t kNow = 10 * kRest;
constexpr std::uint32_t kAsker = 100;
constexpr std::uint32_t kOther = 101;

TEST(RefusedGroupsTest, AGroupThatWasNotRefusedMayAsk) {
  RefusedGroups groups;
  EXPECT_FALSE(groups.asks_too_early(7, kAsker, false, 0));
  groups.refuse(7, kOther, kNow);
  EXPECT_FALSE(groups.asks_too_early(8, kAsker, false, kNow));
}

TEST(RefusedGroupsTest, OneThatWasHasToLeaveOffAsking) {
  RefusedGroups groups;
  groups.refuse(7, kOther, kNow);
  EXPECT_TRUE(groups.asks_too_early(7, kAsker, false, kNow + kRest - 1));
  // It has asked: the rest starts anew.
  EXPECT_TRUE(groups.asks_too_early(7, kAsker, false, kNow + 2 * kRest - 2));
  EXPECT_FALSE(groups.asks_too_early(7, kAsker, false, kNow + 3 * kRest - 2));
  EXPECT_FALSE(groups.asks_too_early(7, kAsker, false, kNow + 3 * kRest - 2));
}

TEST(RefusedGroupsTest, WhoMakesRoomMayAskAtOnce) {
  RefusedGroups groups;
  groups.refuse(7, kAsker, kNow);
  EXPECT_TRUE(groups.asks_too_early(7, kAsker, false, kNow));
  EXPECT_FALSE(groups.asks_too_early(7, kAsker, true, kNow));
  // And so may those that it has made.
  EXPECT_FALSE(groups.asks_too_early(7, kOther, false, kNow));
}

TEST(RefusedGroupsTest, WhoHasNotBeenRefusedLastMayNotEvenAmongFew) {
  RefusedGroups groups;
  groups.refuse(7, kOther, kNow);
  EXPECT_TRUE(groups.asks_too_early(7, kAsker, true, kNow));
  EXPECT_TRUE(groups.asks_too_early(7, kOther, true, kNow));
}

TEST(RefusedGroupsTest, ASecondRefusalTakesTheFirstOnesPlace) {
  RefusedGroups groups;
  groups.refuse(1, kOther, kNow - 1);
  for (std::uint64_t each = 0; each < 100; ++each) {
    groups.refuse(7, kOther, kNow + each);
  }
  EXPECT_TRUE(groups.asks_too_early(1, kAsker, false, kNow));
  EXPECT_TRUE(groups.asks_too_early(7, kAsker, false, kNow + kRest));
}

TEST(RefusedGroupsTest, TooManyForgetTheFirst) {
  RefusedGroups groups;
  constexpr std::uint32_t kGroups = RefusedGroups::kMost + 1;
  for (std::uint32_t group = 1; group <= kGroups; ++group) {
    groups.refuse(group, kOther, kNow + group);
  }
  EXPECT_FALSE(groups.asks_too_early(1, kAsker, false, kNow + kGroups));
  EXPECT_TRUE(groups.asks_too_early(2, kAsker, false, kNow + kGroups));
  EXPECT_TRUE(groups.asks_too_early(kGroups, kAsker, false, kNow + kGroups));
}

}  // namespace
}  // namespace linux_server
