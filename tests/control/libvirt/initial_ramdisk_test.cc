#include "control/libvirt/initial_ramdisk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "device-model/device_tree.h"
#include "tests/control/temporary_directory.h"

namespace ensemble::control {
namespace {

namespace proto = ensemble::vmm::v1;
using testing::HasSubstr;

class InitialRamdisk : public testing::Test {
 protected:
  void SetUp() override {
    write("boot", std::string(5000, 'b'));
    write("root", std::string(10, 'r'));
    device::MachineDescription machine;
    machine.product.name = "watch";
    machine.power = device::PowerControl::kPort;
    machine.apic_ids = {0};
    machine.memory = {{0, 64 << 20}};
    const auto manifest = device::encode_device_tree(machine);
    ASSERT_TRUE(manifest) << manifest.error().message();
    configuration_.set_manifest(manifest->data(), manifest->size());
    configuration_.set_memory_bytes(64 << 20);
    add("boot")->set_copied_file(path("boot"));
    add("root")->set_mapped_file(path("root"));
  }

  proto::Module* add(const char* name) {
    proto::Module* module = configuration_.add_modules();
    module->set_name(name);
    return module;
  }
  std::string path(const std::string& name) const { return directory_.path(name); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
  }
  std::string written() const {
    std::ifstream file(path("initrd"), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  TemporaryDirectory directory_;
  proto::Configuration configuration_;
};

TEST_F(InitialRamdisk, HasAllThreeInPagesOfTheirOwn) {
  const auto done = write_initial_ramdisk(configuration_, 2'000'000'000, path("initrd"));
  ASSERT_TRUE(done) << done.error().message();
  const std::string bytes = written();
  ASSERT_GT(bytes.size(), 3U * 4096);
  EXPECT_EQ(bytes.size() % 4096, 0U);
  EXPECT_EQ(bytes.substr(4999, 2), std::string("b\0", 2));
  EXPECT_EQ(bytes.substr(8192, 4), "\xd0\x0d\xfe\xed");
  EXPECT_EQ(bytes.substr(bytes.size() - 4096, 11), std::string(10, 'r') + '\0');
  EXPECT_THAT(bytes, HasSubstr("ensemble,power-port"));
  // 2,000,000,000 as the manifest's 64 bits.
  EXPECT_THAT(bytes, HasSubstr(std::string("\0\0\0\0\x77\x35\x94\0", 8)));
}

TEST_F(InitialRamdisk, TakesThePlaceOfAnOldOne) {
  write("initrd", std::string(100'000, 'x'));
  ASSERT_TRUE(write_initial_ramdisk(configuration_, 1, path("initrd")));
  EXPECT_EQ(written().find('x', 8192 + 4096), std::string::npos);
}

TEST_F(InitialRamdisk, SaysThatTheDeviceHasTooLittleMemory) {
  configuration_.set_memory_bytes(12 << 20);
  const auto done = write_initial_ramdisk(configuration_, 1, path("initrd"));
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message(), HasSubstr("the device has 12 MiB of memory"));
}

TEST_F(InitialRamdisk, NamesTheFileThatIsMissing) {
  configuration_.mutable_modules(1)->set_mapped_file(path("nothing"));
  const auto done = write_initial_ramdisk(configuration_, 1, path("initrd"));
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message(), HasSubstr("/nothing': No such file or directory"));
}

TEST(ClockMeasurement, IsAboutRight) {
  const double first = static_cast<double>(ClockMeasurement::begin().frequency());
  const double second = static_cast<double>(ClockMeasurement::begin().frequency());
  EXPECT_GT(first, 1e8);
  EXPECT_NEAR(first / second, 1, 1e-3);
}

}  // namespace
}  // namespace ensemble::control
