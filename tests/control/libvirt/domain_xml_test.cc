#include "control/libvirt/domain_xml.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "tests/control/temporary_directory.h"

namespace ensemble::control {
namespace {

namespace proto = ensemble::vmm::v1;
using testing::HasSubstr;
using testing::Not;

proto::Configuration watch() {
  proto::Configuration configuration;
  configuration.set_name("watch");
  configuration.set_vcpus(2);
  configuration.set_memory_bytes(96 << 20);
  configuration.set_kernel("/opt/a <kernel> & more");
  configuration.add_devices()->mutable_serial_16550();
  configuration.add_devices()->mutable_machine_control();
  configuration.add_devices()->mutable_virtio_console();
  configuration.add_devices()->mutable_virtio_entropy();
  configuration.add_devices()->mutable_virtio_port()->set_name("org.ensemble.agent");
  proto::VirtioBlock& disk = *configuration.add_devices()->mutable_virtio_block();
  disk.set_path("/srv/disk.img");
  disk.set_serial("watch");
  return configuration;
}

DomainOptions exported() {
  DomainOptions options;
  options.name = "watch";
  options.initial_ramdisk = "/srv/watch.initrd";
  return options;
}

DomainOptions managed() {
  DomainOptions options = exported();
  options.console_socket = "/run/x/console";
  options.serial_socket = "/run/x/serial";
  options.power_socket = "/run/x/po,wer";
  options.port_socket = "/run/x/agent";
  return options;
}

// What libvirt's own validator says of a document; empty: it is a domain.
std::string schema_violations(const std::string& xml) {
  const TemporaryDirectory directory;
  const std::string path = directory.path("domain.xml");
  std::ofstream(path) << xml;
  std::FILE* const pipe =
      ::popen(fmt::format("virt-xml-validate '{}' domain 2>&1", path).c_str(), "r");
  std::string output;
  std::array<char, 512> chunk;
  while (std::fgets(chunk.data(), chunk.size(), pipe) != nullptr) {
    output += chunk.data();
  }
  return ::pclose(pipe) == 0 ? "" : "not valid: " + output;
}

class DomainSchema : public testing::Test {
 protected:
  void SetUp() override {
    if (::access("/usr/bin/virt-xml-validate", X_OK) != 0 ||
        ::access("/usr/bin/xmllint", X_OK) != 0) {
      GTEST_SKIP() << "needs the packages libvirt-clients and libxml2-utils";
    }
  }
};

TEST_F(DomainSchema, HoldsForADomainToKeep) {
  const auto xml = domain_xml(watch(), exported());
  ASSERT_TRUE(xml) << xml.error().message();
  EXPECT_EQ(schema_violations(*xml), "");
}

TEST_F(DomainSchema, HoldsForADomainWithSocketsAndKvm) {
  DomainOptions options = managed();
  options.use_kvm = true;
  const auto xml = domain_xml(watch(), options);
  ASSERT_TRUE(xml) << xml.error().message();
  EXPECT_EQ(schema_violations(*xml), "");
}

TEST_F(DomainSchema, RejectsWhatIsNoDomain) {
  EXPECT_THAT(schema_violations("<domain type='qemu'><engine/></domain>"), HasSubstr("not valid"));
}

TEST(DomainXml, HasThePortOnAControllerOfItsOwn) {
  const auto xml = domain_xml(watch(), managed());
  ASSERT_TRUE(xml);
  EXPECT_THAT(*xml, HasSubstr(R"(<controller type="virtio-serial" index="1" ports="2">)"));
  EXPECT_THAT(*xml, HasSubstr(R"(<source mode="bind" path="/run/x/agent"/>)"));
  EXPECT_THAT(*xml, HasSubstr(R"(<target type="virtio" name="org.ensemble.agent"/>)"));
  EXPECT_THAT(*xml, HasSubstr(R"(controller="1" bus="0" port="1")"));
}

TEST(DomainXml, HasTheDevicesMachine) {
  const auto xml = domain_xml(watch(), exported());
  ASSERT_TRUE(xml);
  EXPECT_THAT(*xml, HasSubstr("machine=\"microvm\""));
  EXPECT_THAT(*xml, HasSubstr("<memory unit=\"bytes\">100663296</memory>"));
  EXPECT_THAT(*xml, HasSubstr("<vcpu>2</vcpu>"));
  EXPECT_THAT(*xml, HasSubstr("<source file=\"/srv/disk.img\"/>"));
  EXPECT_THAT(*xml, HasSubstr("<kernel>/opt/a &lt;kernel&gt; &amp; more</kernel>"));
  EXPECT_THAT(*xml, HasSubstr("isa-debug-exit,iobase=0xf4"));
}

TEST(DomainXml, LeavesOutTheDiskThatADeviceHasNot) {
  proto::Configuration configuration = watch();
  configuration.mutable_devices()->RemoveLast();
  const auto xml = domain_xml(configuration, exported());
  ASSERT_TRUE(xml);
  EXPECT_THAT(*xml, Not(HasSubstr("<disk")));
}

TEST(DomainXml, DoublesCommasForQemu) {
  const auto xml = domain_xml(watch(), managed());
  ASSERT_TRUE(xml);
  EXPECT_THAT(*xml, HasSubstr("socket,id=power,path=/run/x/po,,wer"));
}

TEST(DomainXml, RefusesWhatXmlCannotExpress) {
  proto::Configuration configuration = watch();
  configuration.mutable_devices(4)->mutable_virtio_block()->set_path("/srv/\x01");
  auto xml = domain_xml(configuration, exported());
  ASSERT_FALSE(xml);
  EXPECT_EQ(xml.error().message(),
            "the disk's path has a control character, which XML cannot express");

  DomainOptions options = exported();
  options.initial_ramdisk = "/srv/\xff";
  xml = domain_xml(watch(), options);
  ASSERT_FALSE(xml);
  EXPECT_THAT(xml.error().message(), HasSubstr("is not UTF-8"));
}

}  // namespace
}  // namespace ensemble::control
