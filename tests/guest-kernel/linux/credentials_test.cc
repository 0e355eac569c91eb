#include "guest-kernel/linux/server/credentials.h"

#include <asm/errno.h>
#include <gtest/gtest.h>

namespace linux_server {
namespace {

constexpr std::uint32_t kUnchanged = ~std::uint32_t{0};

Credentials user(std::uint32_t id) {
  Credentials credentials;
  EXPECT_EQ(set_all_groups(credentials, id, id, id), 0);
  EXPECT_EQ(set_all_users(credentials, id, id, id), 0);
  return credentials;
}

StoredAttributes file(std::uint32_t mode, std::uint32_t owner, std::uint32_t group) {
  StoredAttributes attributes;
  attributes.mode = mode;
  attributes.user = owner;
  attributes.group = group;
  return attributes;
}

TEST(Credentials, RootMayBecomeAnybodyAndNotGoBack) {
  Credentials credentials;
  ASSERT_EQ(set_user(credentials, 1000), 0);
  EXPECT_EQ(credentials.real_user, 1000U);
  EXPECT_EQ(credentials.saved_user, 1000U);
  EXPECT_EQ(credentials.user, 1000U);
  EXPECT_EQ(credentials.effective, 0U);
  EXPECT_EQ(credentials.permitted, 0U);
  EXPECT_EQ(set_user(credentials, 0), -EPERM);
  EXPECT_EQ(set_user(credentials, kUnchanged), -EINVAL);
}

TEST(Credentials, TheSavedUserIsTheWayBack) {
  Credentials credentials;
  ASSERT_EQ(set_all_users(credentials, kUnchanged, 1000, kUnchanged), 0);
  EXPECT_EQ(credentials.effective, 0U);
  EXPECT_EQ(credentials.permitted, kAllCapabilities);
  ASSERT_EQ(set_all_users(credentials, kUnchanged, 0, kUnchanged), 0);
  EXPECT_EQ(credentials.effective, kAllCapabilities);
}

TEST(Credentials, RealAndEffectiveUserChangePlaces) {
  Credentials credentials = user(1000);
  credentials.effective_user = credentials.saved_user = credentials.user = 1001;
  ASSERT_EQ(set_real_and_effective_user(credentials, 1001, 1000), 0);
  EXPECT_EQ(credentials.real_user, 1001U);
  EXPECT_EQ(credentials.effective_user, 1000U);
  EXPECT_EQ(credentials.saved_user, 1000U);
  EXPECT_EQ(set_real_and_effective_user(credentials, 0, kUnchanged), -EPERM);
}

TEST(Credentials, CapabilitiesStayWhereThatIsAskedFor) {
  Credentials credentials;
  credentials.secure_bits = kKeepCapabilities;
  ASSERT_EQ(set_user(credentials, 1000), 0);
  EXPECT_EQ(credentials.permitted, kAllCapabilities);
  EXPECT_EQ(credentials.effective, 0U);
}

TEST(Credentials, TheFileUserTakesTheFileCapabilitiesAlong) {
  Credentials credentials;
  EXPECT_EQ(set_file_user(credentials, 1000), 0);
  EXPECT_FALSE(credentials.has(Capability::kOverrideAccess));
  EXPECT_TRUE(credentials.has(Capability::kSetUser));
  EXPECT_EQ(set_file_user(credentials, kUnchanged), 1000);
  EXPECT_EQ(set_file_user(credentials, 0), 1000);
  EXPECT_TRUE(credentials.has(Capability::kOverrideAccess));
}

TEST(Credentials, TheOwnersBitsCountForTheOwner) {
  const Credentials credentials = user(1000);
  EXPECT_FALSE(is_allowed(credentials, file(kRegularFile | 0077, 1000, 0), kMayRead));
  EXPECT_FALSE(is_allowed(credentials, file(kRegularFile | 0707, 0, 1000), kMayRead));
  EXPECT_TRUE(is_allowed(credentials, file(kRegularFile | 0004, 0, 0), kMayRead));
  EXPECT_FALSE(is_allowed(Credentials{}, file(kRegularFile | 0666, 0, 0), kMayExecute));
  EXPECT_TRUE(is_allowed(Credentials{}, file(kRegularFile, 7, 7), kMayRead | kMayWrite));
}

TEST(Credentials, SupplementaryGroupsCount) {
  Credentials credentials = user(1000);
  const Reference<GroupList> list = GroupList::make_room(3);
  ASSERT_TRUE(list);
  list->room()[0] = 7;
  list->room()[1] = 5;
  list->room()[2] = 6;
  list->sort();
  credentials.supplementary = list;
  EXPECT_TRUE(credentials.is_in(6));
  EXPECT_TRUE(credentials.is_in(1000));
  EXPECT_FALSE(credentials.is_in(0));
  EXPECT_EQ(credentials.groups()[0], 5U);
}

TEST(Credentials, StickyDirectoriesAreForOwners) {
  const StoredAttributes directory = file(kDirectory | kSticky | 0777, 0, 0);
  EXPECT_FALSE(is_removal_allowed(user(1000), directory, file(kRegularFile, 0, 0)));
  EXPECT_TRUE(is_removal_allowed(user(1000), directory, file(kRegularFile, 1000, 0)));
  EXPECT_TRUE(is_removal_allowed(Credentials{}, directory, file(kRegularFile, 1000, 0)));
}

TEST(Credentials, ASetUserIdProgramRunsAsItsOwner) {
  Credentials own = user(1000);
  const StoredAttributes program = file(kRegularFile | kSetUserId | 0755, 0, 0);
  const ProgramCredentials run = credentials_of_program(own, program, false);
  EXPECT_TRUE(run.is_secure);
  EXPECT_EQ(run.credentials.effective_user, 0U);
  EXPECT_EQ(run.credentials.real_user, 1000U);
  EXPECT_EQ(run.credentials.effective, kAllCapabilities);
  own.no_new_privileges = true;
  const ProgramCredentials refused = credentials_of_program(own, program, false);
  EXPECT_FALSE(refused.is_secure);
  EXPECT_EQ(refused.credentials.effective_user, 1000U);
  EXPECT_EQ(refused.credentials.effective, 0U);
}

TEST(Credentials, TheBoundingSetHoldsForSetUserIdPrograms) {
  Credentials own = user(1000);
  own.bounding = capability_bit(Capability::kKill);
  const ProgramCredentials run =
      credentials_of_program(own, file(kRegularFile | kSetUserId | 0755, 0, 0), false);
  EXPECT_EQ(run.credentials.effective, capability_bit(Capability::kKill));
}

TEST(Credentials, WhoSharesItsPlacesGainsNothingByAProgram) {
  const StoredAttributes program = file(kRegularFile | kSetUserId | 0755, 0, 0);
  const ProgramCredentials run = credentials_of_program(user(1000), program, true);
  EXPECT_FALSE(run.is_secure);
  EXPECT_EQ(run.credentials.effective_user, 1000U);
  EXPECT_EQ(run.credentials.permitted, 0U);
  // Root gives up nothing, and gets back nothing that it had given up.
  Credentials root;
  EXPECT_EQ(credentials_of_program(root, program, true).credentials.effective, kAllCapabilities);
  root.permitted = root.effective = capability_bit(Capability::kKill);
  EXPECT_EQ(credentials_of_program(root, program, true).credentials.effective,
            capability_bit(Capability::kKill));
  EXPECT_EQ(credentials_of_program(root, program, false).credentials.effective, kAllCapabilities);
}

TEST(Credentials, CapabilitiesAreOnlyGivenUp) {
  Credentials credentials;
  CapabilityRequest wanted;
  wanted.permitted = wanted.effective = capability_bit(Capability::kKill);
  ASSERT_EQ(set_capabilities(credentials, wanted), 0);
  EXPECT_TRUE(credentials.has(Capability::kKill));
  EXPECT_FALSE(credentials.has(Capability::kSetUser));
  wanted.permitted = kAllCapabilities;
  EXPECT_EQ(set_capabilities(credentials, wanted), -EPERM);
  wanted.permitted = 0;
  EXPECT_EQ(set_capabilities(credentials, wanted), -EPERM);
}

TEST(Credentials, SignalsReachTheSameUserOnly) {
  EXPECT_TRUE(may_signal(user(1000), user(1000)));
  EXPECT_FALSE(may_signal(user(1000), user(1001)));
  EXPECT_FALSE(may_signal(user(1000), Credentials{}));
  EXPECT_TRUE(may_signal(Credentials{}, user(1000)));
}

}  // namespace
}  // namespace linux_server
