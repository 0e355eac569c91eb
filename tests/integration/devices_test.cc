#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "tests/integration/ensemble_process.h"
#include "tests/integration/lane.h"
#include "tests/integration/temporary_folder.h"

namespace ensemble::integration {
namespace {

using Json = nlohmann::json;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

// What `/bin/devices` prints.
class DeviceList {
 public:
  explicit DeviceList(const Arguments& arguments) {
    Arguments command{"run"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    command.insert(command.end(), {"--", "/bin/devices"});
    const Outcome outcome = run_ensemble(command);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.errors;
    std::istringstream lines(outcome.output);
    for (std::string line; std::getline(lines, line);) {
      const Json record = Json::parse(line, nullptr, false);
      EXPECT_FALSE(record.is_discarded()) << line;
      records_.push_back(record);
    }
  }

  // The lines of a type: "device", "screen", "battery", …
  std::vector<Json> all(const std::string& type) const {
    std::vector<Json> found;
    for (const Json& record : records_) {
      if (record.value("type", "") == type) {
        found.push_back(record);
      }
    }
    return found;
  }

  // The only line of a type, or null.
  Json one(const std::string& type) const {
    const auto found = all(type);
    return found.size() == 1 ? found.front() : Json();
  }

  Json device(const std::string& compatible) const {
    for (const Json& device : all("device")) {
      if (device.at("compatible") == compatible) {
        return device;
      }
    }
    return {};
  }

  std::string text() const { return Json(records_).dump(); }

 private:
  std::vector<Json> records_;
};

TEST(Devices, EveryDeviceOfTheManifestThatHasADriverRuns) {
  REQUIRE_KVM();
  const DeviceList list({"watch"});
  for (const char* compatible :
       {"ns16550a", "virtio,device3", "virtio,device4", "virtio,device12"}) {
    const Json device = list.device(compatible);
    ASSERT_TRUE(device.is_object()) << compatible << " in " << list.text();
    EXPECT_EQ(device.at("state"), "running") << device;
    EXPECT_EQ(device.at("restarts"), 0) << device;
    for (const char* key : {"name", "driver", "domain"}) {
      EXPECT_FALSE(device.at(key).get<std::string>().empty()) << device;
    }
  }
  EXPECT_TRUE(list.device("virtio,device2").is_null()) << "a disk that nobody gave";
}

TEST(Devices, ADiskIsFoundOnlyWhereOneIsGiven) {
  REQUIRE_KVM();
  const TemporaryFolder folder;
  const std::string disk = folder.write("disk.img", std::string(std::size_t{1} << 20, 'x'));
  const Json device = DeviceList({"watch", "--disk", disk}).device("virtio,device2");
  ASSERT_TRUE(device.is_object());
  EXPECT_EQ(device.at("state"), "running") << device;
}

TEST(Devices, ProfilesDifferAsTheirHardwareDoes) {
  REQUIRE_KVM();
  std::map<std::string, DeviceList> lists;
  for (const char* profile : {"phone", "tablet", "watch"}) {
    lists.emplace(profile, DeviceList({profile}));
  }
  const auto width = [&](const char* profile) { return lists.at(profile).one("screen").dump(); };
  EXPECT_THAT(width("phone"), HasSubstr("1080"));
  EXPECT_THAT(width("phone"), HasSubstr("2400"));
  EXPECT_THAT(width("tablet"), HasSubstr("2560"));
  EXPECT_THAT(width("watch"), HasSubstr("450"));
  EXPECT_FALSE(lists.at("watch").one("crown").is_null());
  EXPECT_TRUE(lists.at("phone").one("crown").is_null());
  EXPECT_THAT(lists.at("watch").one("sensors").dump(), HasSubstr("heart-rate"));
  EXPECT_THAT(lists.at("phone").one("sensors").dump(), Not(HasSubstr("heart-rate")));
  EXPECT_NE(lists.at("phone").one("battery"), lists.at("tablet").one("battery"));
  EXPECT_NE(lists.at("phone").one("memory"), lists.at("watch").one("memory"));
}

TEST(Devices, MemoryAndProcessorsAreWhatWasAskedFor) {
  REQUIRE_KVM();
  const DeviceList list({"watch", "--memory", "64M", "--cpus", "2"});
  EXPECT_EQ(list.one("cpus").at("count"), 2);
  EXPECT_EQ(list.one("cpus").at("running"), 2);
  EXPECT_GT(list.one("memory").at("mib"), 60);
  EXPECT_LE(list.one("memory").at("mib"), 64);
}

// A product that nobody here has thought of, as its user writes it.
TEST(Devices, AFourthProfileNeedsNoCode) {
  REQUIRE_KVM();
  const TemporaryFolder folder;
  const std::string profile = folder.write("reader.yaml", R"(extends: tablet
model: Paper Reader
cpus: 2
memory: 96 MiB
screen:
  width: 1264 px
  height: 1680 px
  density: 300 ppi
  refresh: 1-10 Hz
)");
  const DeviceList list({profile});
  EXPECT_EQ(list.one("product").at("model"), "Paper Reader");
  const std::string screen = list.one("screen").dump();
  EXPECT_THAT(screen, HasSubstr("1264"));
  EXPECT_THAT(screen, HasSubstr("1680"));
  EXPECT_EQ(list.one("cpus").at("running"), 2);
  EXPECT_LE(list.one("memory").at("mib"), 96);
  const Outcome outcome = run_ensemble({"run", profile, "--", "/bin/busybox", "uname", "-sm"});
  EXPECT_EQ(outcome.output, "Linux x86_64\n") << outcome.errors;
}

}  // namespace
}  // namespace ensemble::integration
