#include "control/daemon/state_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <string>

#include "tests/control/temporary_directory.h"

namespace ensemble::control {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

v1::Device device(const std::string& id) {
  v1::Device made;
  made.set_name("devices/" + id);
  made.set_uid("uid-of-" + id);
  return made;
}

class Store : public testing::Test {
 protected:
  StateStore open() const {
    auto store = StateStore::open(path_, true);
    if (!store) {
      throw std::runtime_error(store.error().message());
    }
    return std::move(*store);
  }
  std::string refusal() const {
    auto store = StateStore::open(path_, true);
    return store ? "opened" : store.error().message();
  }

  const TemporaryDirectory directory_;
  const std::string path_ = directory_.path("state.db");
};

TEST_F(Store, KeepsDevicesInTheOrderOfTheirCreation) {
  {
    StateStore store = open();
    ASSERT_TRUE(store.add(device("b")));
    ASSERT_TRUE(store.add(device("a")));
    v1::Device changed = device("b");
    changed.mutable_status()->set_process_id(7);
    ASSERT_TRUE(store.replace(changed));
  }
  StateStore store = open();
  const auto devices = store.devices();
  ASSERT_TRUE(devices);
  ASSERT_EQ(devices->size(), 2U);
  EXPECT_EQ(devices->front().name(), "devices/b");
  EXPECT_EQ(devices->front().status().process_id(), 7U);
  ASSERT_TRUE(store.remove_device("uid-of-b"));
  EXPECT_EQ(store.devices()->size(), 1U);
}

TEST_F(Store, RefusesTwoDevicesOfOneName) {
  StateStore store = open();
  ASSERT_TRUE(store.add(device("a")));
  v1::Device other = device("a");
  other.set_uid("another");
  const auto put = store.add(other);
  ASSERT_FALSE(put);
  EXPECT_THAT(put.error().message(), HasSubstr("devices/a"));
}

TEST_F(Store, BringsNoRemovedDeviceBack) {
  StateStore store = open();
  ASSERT_TRUE(store.add(device("a")));
  ASSERT_TRUE(store.remove_device("uid-of-a"));
  const auto replaced = store.replace(device("a"));
  ASSERT_FALSE(replaced);
  EXPECT_THAT(replaced.error().message(), HasSubstr("devices/a"));
  EXPECT_THAT(*store.devices(), IsEmpty());
}

TEST_F(Store, IsNotMadeWhereItMustBeThere) {
  const auto refused = StateStore::open(path_, false);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), AllOf(HasSubstr(path_), HasSubstr("is new")));
  { const StateStore store = open(); }
  EXPECT_TRUE(StateStore::open(path_, false));
}

TEST_F(Store, KeepsOperationsAndProfiles) {
  StateStore store = open();
  v1::Operation operation;
  operation.set_name("operations/1");
  ASSERT_TRUE(store.put(operation));
  operation.set_done(true);
  ASSERT_TRUE(store.put(operation));
  ASSERT_EQ(store.operations()->size(), 1U);
  EXPECT_TRUE(store.operations()->front().done());
  ASSERT_TRUE(store.remove_operations({"operations/1", "operations/none"}));
  EXPECT_THAT(*store.operations(), IsEmpty());
  ASSERT_TRUE(store.put_profile("mine", "one"));
  ASSERT_TRUE(store.put_profile("mine", "two"));
  EXPECT_THAT(*store.profile_ids(), ElementsAre("mine"));
  EXPECT_EQ(*store.profile_text("mine"), "two");
  EXPECT_EQ(*store.profile_text("other"), std::nullopt);
}

TEST_F(Store, KeepsWhatWasStoredBeforeAKill) {
  const pid_t child = ::fork();
  if (child == 0) {
    StateStore store = open();
    (void)store.add(device("a"));
    ::raise(SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(open().devices()->size(), 1U);
}

TEST_F(Store, RefusesAFileThatAnotherDaemonHas) {
  const StateStore first = open();
  EXPECT_THAT(refusal(), AllOf(HasSubstr(path_), HasSubstr("in use by another daemon")));
}

TEST_F(Store, RefusesWhatIsNoDatabase) {
  std::ofstream(path_) << std::string(5000, 'x');
  EXPECT_THAT(refusal(), AllOf(HasSubstr(path_), HasSubstr("damaged"), HasSubstr("move it away")));
}

TEST_F(Store, RefusesADamagedDatabase) {
  {
    StateStore store = open();
    for (int i = 0; i < 200; ++i) {
      v1::Device big = device("d" + std::to_string(i));
      (*big.mutable_labels())["filler"] = std::string(500, 'x');
      ASSERT_TRUE(store.add(big));
    }
  }
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  for (int page = 1; page < 20; ++page) {
    file.seekp(page * 4096);
    file << std::string(64, '\x5a');
  }
  file.close();
  EXPECT_THAT(refusal(), AllOf(HasSubstr(path_), HasSubstr("damaged")));
}

TEST_F(Store, RefusesAFileOfANewerVersion) {
  { const StateStore store = open(); }
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &database), SQLITE_OK);
  sqlite3_exec(database, "PRAGMA user_version = 99", nullptr, nullptr, nullptr);
  sqlite3_close(database);
  EXPECT_THAT(refusal(), AllOf(HasSubstr(path_), HasSubstr("newer version")));
}

TEST_F(Store, RefusesADirectoryThatIsNotThere) {
  auto store = StateStore::open(directory_.path("none/state.db"), true);
  ASSERT_FALSE(store);
  EXPECT_THAT(store.error().message(), HasSubstr("none/state.db"));
}

}  // namespace
}  // namespace ensemble::control
