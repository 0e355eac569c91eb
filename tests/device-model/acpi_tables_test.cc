#include "device-model/acpi/acpi_tables.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>

#include "device-model/machine_layout.h"
#include "temporary_folder.h"

namespace ensemble::device {
namespace {

constexpr std::uint64_t kBase = kAcpiTablesAddress;

MachineDescription small_machine() {
  MachineDescription machine;
  machine.apic_ids = {0, 1};
  machine.virtio = {{"console", 3, kVirtioAddress, 16}, {"block", 2, kVirtioAddress + 0x1000, 17}};
  return machine;
}

// All that a machine may have.
MachineDescription full_machine() {
  MachineDescription machine = small_machine();
  for (std::uint32_t i = 2; i < kMaximumVirtioDevices; ++i) {
    machine.virtio.push_back({"entropy", 4, kVirtioAddress + i * kVirtioStride, kVirtioGsis[i]});
  }
  machine.apic_ids = {0, 1, 254, 255, 300};
  machine.has_clock = true;
  machine.power_button = PowerButtonNode{.address = kMachineControlAddress + 0x33, .gsi = 9};
  machine.gpio = ControllerNode{"AMDI0030", 0xd010'0000, 0x1000, 12, Trigger::kLevelLow};
  machine.i2c = {{.controller = {"AMDI0010", 0xd011'0000, 0x1000, 13, Trigger::kLevelHigh},
                  .clock = 400'000,
                  .chips = {{.hardware_id = "BMI0160",
                             .compatible = "bosch,bmi160",
                             .address = 0x68,
                             .interrupt_pin = 3,
                             .trigger = Trigger::kEdgeRising,
                             .properties = {}},
                            {.hardware_id = "",
                             .compatible = "bosch,bmp380",
                             .address = 0x77,
                             .interrupt_pin = std::nullopt,
                             .properties = {{"clock-frequency", std::uint64_t{400'000}},
                                            {"label", std::string("pressure")}}},
                            {.hardware_id = "",
                             .compatible = "st,lps22hb-press",
                             .acpi_compatible = "st,lps22hb",
                             .address = 0x5c,
                             .interrupt_pin = std::nullopt,
                             .properties = {}}}},
                 {.controller = {"AMDI0010", 0xd012'0000, 0x1000, 14, Trigger::kLevelHigh},
                  .clock = 100'000,
                  .chips = {}}};
  return machine;
}

// The tables as a guest finds them.
class Tables {
 public:
  explicit Tables(const MachineDescription& machine)
      : bytes_(encode_acpi(machine, kBase).value()) {}

  template <typename T>
  T load(std::uint64_t address) const {
    T value{};
    std::memcpy(&value, bytes_.data() + (address - kBase), sizeof(value));
    return value;
  }
  std::string signature(std::uint64_t address) const {
    return {reinterpret_cast<const char*>(bytes_.data()) + (address - kBase), 4};
  }
  std::vector<std::byte> table(std::uint64_t address) const {
    const auto start = bytes_.begin() + static_cast<std::ptrdiff_t>(address - kBase);
    return {start, start + load<std::uint32_t>(address + 4)};
  }
  std::uint8_t sum(std::uint64_t address, std::size_t size) const {
    std::uint8_t total = 0;
    for (std::size_t i = 0; i < size; ++i) {
      total = static_cast<std::uint8_t>(total + load<std::uint8_t>(address + i));
    }
    return total;
  }
  std::uint64_t xsdt() const { return load<std::uint64_t>(kBase + 24); }
  // Guest address of the table that the XSDT lists under this signature; 0 if it does not.
  std::uint64_t find(const std::string& signature_wanted) const {
    const std::uint64_t end = xsdt() + load<std::uint32_t>(xsdt() + 4);
    for (std::uint64_t entry = xsdt() + 36; entry < end; entry += 8) {
      const auto address = load<std::uint64_t>(entry);
      if (signature(address) == signature_wanted) {
        return address;
      }
    }
    return 0;
  }
  std::uint64_t dsdt() const { return load<std::uint64_t>(find("FACP") + 140); }
  std::size_t size() const { return bytes_.size(); }

 private:
  std::vector<std::byte> bytes_;
};

TEST(AcpiTablesTest, LeadFromTheRootPointerToAllTablesWithGoodChecksums) {
  const Tables tables(full_machine());
  EXPECT_EQ(tables.signature(kBase), "RSD ");
  EXPECT_EQ(tables.sum(kBase, 20), 0);
  EXPECT_EQ(tables.sum(kBase, 36), 0);
  EXPECT_EQ(tables.load<std::uint8_t>(kBase + 15), 2);
  EXPECT_EQ(tables.signature(tables.xsdt()), "XSDT");
  EXPECT_EQ(tables.signature(tables.dsdt()), "DSDT");
  EXPECT_EQ(tables.load<std::uint32_t>(tables.find("FACP") + 40), tables.dsdt());
  for (const std::uint64_t table :
       {tables.xsdt(), tables.find("FACP"), tables.find("APIC"), tables.dsdt()}) {
    ASSERT_NE(table, 0u);
    EXPECT_EQ(table % 16, 0u);
    EXPECT_EQ(tables.sum(table, tables.load<std::uint32_t>(table + 4)), 0)
        << tables.signature(table);
  }
  EXPECT_LT(tables.size(), kAcpiTablesSize);
}

TEST(AcpiTablesTest, TellHowToPowerOffAndReset) {
  const Tables tables(small_machine());
  const std::uint64_t fadt = tables.find("FACP");
  const auto flags = tables.load<std::uint32_t>(fadt + 112);
  EXPECT_NE(flags & 1u << 20, 0u) << "hardware-reduced";
  EXPECT_NE(flags & 1u << 10, 0u) << "reset register";
  EXPECT_EQ(tables.load<std::uint8_t>(fadt + 117), 8);
  EXPECT_EQ(tables.load<std::uint64_t>(fadt + 120), kResetAddress);
  EXPECT_EQ(tables.load<std::uint8_t>(fadt + 128), kResetValue);
  EXPECT_EQ(tables.load<std::uint64_t>(fadt + 248), kSleepControlAddress);
  EXPECT_EQ(tables.load<std::uint64_t>(fadt + 260), kSleepStatusAddress);
}

TEST(AcpiTablesTest, TellOfAClockOnlyWhereThereIsOne) {
  constexpr std::uint16_t kNoClock = 1 << 5;
  const auto boot_flags = [](const MachineDescription& machine) {
    const Tables tables(machine);
    return tables.load<std::uint16_t>(tables.find("FACP") + 109);
  };
  EXPECT_NE(boot_flags(small_machine()) & kNoClock, 0);
  EXPECT_EQ(boot_flags(full_machine()) & kNoClock, 0);
}

TEST(AcpiTablesTest, ListProcessorsAndTheIoApic) {
  const Tables tables(full_machine());
  const std::uint64_t madt = tables.find("APIC");
  EXPECT_EQ(tables.load<std::uint32_t>(madt + 36), kLocalApicAddress);
  EXPECT_EQ(tables.load<std::uint32_t>(madt + 40), 0u);
  std::vector<std::uint32_t> apic_ids;
  std::uint64_t entry = madt + 44;
  const std::uint64_t end = madt + tables.load<std::uint32_t>(madt + 4);
  unsigned io_apics = 0;
  for (; entry < end; entry += tables.load<std::uint8_t>(entry + 1)) {
    switch (tables.load<std::uint8_t>(entry)) {
      case 0:
        apic_ids.push_back(tables.load<std::uint8_t>(entry + 3));
        break;
      case 9:
        apic_ids.push_back(tables.load<std::uint32_t>(entry + 4));
        break;
      case 1:
        ++io_apics;
        EXPECT_EQ(tables.load<std::uint32_t>(entry + 4), kIoApicAddress);
        EXPECT_EQ(tables.load<std::uint32_t>(entry + 8), 0u);
        break;
      default:
        ADD_FAILURE() << "unexpected entry";
    }
  }
  EXPECT_EQ(entry, end);
  EXPECT_EQ(apic_ids, (std::vector<std::uint32_t>{0, 1, 254, 255, 300}));
  EXPECT_EQ(io_apics, 1u);
}

TEST(AcpiTablesTest, RefuseWhatCannotBeDescribed) {
  const auto refusal = [](const MachineDescription& machine, std::uint64_t address = kBase) {
    const auto tables = encode_acpi(machine, address);
    return tables ? "" : tables.error().message();
  };
  EXPECT_EQ(refusal(small_machine(), 0xe0008),
            "ACPI tables cannot lie at 0xe0008: a multiple of 16 below 4 GiB is needed");
  MachineDescription machine = full_machine();
  machine.gpio.reset();
  EXPECT_EQ(refusal(machine),
            "chip 'bosch,bmi160' at 0x68 has an interrupt pin, but the machine has no GPIO "
            "controller");
  machine = full_machine();
  machine.i2c[0].controller.address = 0x1'0000'0000;
  EXPECT_EQ(refusal(machine),
            "controller AMDI0010: registers at 0x100000000 with 0x1000 bytes do not lie below 4 "
            "GiB");
  machine = full_machine();
  machine.i2c[0].chips[0].properties = {{"label", std::string("\xff")}};
  EXPECT_NE(refusal(machine).find("is no string of ACPI"), std::string::npos);
}

// ACPICA's compiler, which Linux's interpreter has its code from, judges the tables.
class AcpicaTest : public ::testing::TestWithParam<bool> {
 protected:
  static std::string read(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }

  std::string iasl(const std::string& arguments) {
    const std::string output = (folder.path() / "output").string();
    const std::string command = "cd " + folder.path().string() + " && /usr/bin/iasl " + arguments +
                                " > " + output + " 2>&1";
    EXPECT_EQ(std::system(command.c_str()), 0) << read(output);
    return read(output);
  }

  std::string write(const std::string& name, const std::vector<std::byte>& table) {
    folder.write(name, {reinterpret_cast<const char*>(table.data()), table.size()});
    return name;
  }

  TemporaryFolder folder;
};

TEST_P(AcpicaTest, ReadsTheTablesWithoutComplaint) {
  const Tables tables(GetParam() ? full_machine() : small_machine());
  for (const std::uint64_t address : {tables.xsdt(), tables.find("FACP"), tables.find("APIC")}) {
    const std::string name = tables.signature(address);
    const std::string output = iasl("-d " + write(name + ".dat", tables.table(address)));
    const std::string source = read(folder.path() / (name + ".dsl"));
    EXPECT_FALSE(source.empty());
    for (const std::string& text : {output, source}) {
      for (const char* const word : {"rror", "arning", "nvalid", "nknown", "ncorrect"}) {
        EXPECT_EQ(text.find(word), std::string::npos) << name << ": " << text;
      }
    }
  }
}

TEST_P(AcpicaTest, CompilesTheDefinitionBlockBackToTheSameBytes) {
  const Tables tables(GetParam() ? full_machine() : small_machine());
  const std::vector<std::byte> dsdt = tables.table(tables.dsdt());
  iasl("-d " + write("dsdt.dat", dsdt));
  const std::string source = read(folder.path() / "dsdt.dsl");
  EXPECT_NE(source.find("LNRO0005"), std::string::npos) << source;
  // The name by which Linux's driver knows the part comes first.
  const std::size_t name = source.find("\"st,lps22hb\"");
  EXPECT_EQ(name != std::string::npos, GetParam()) << source;
  EXPECT_EQ(source.find("\"st,lps22hb-press\"", name) != std::string::npos, GetParam()) << source;
  const std::string output = iasl("-oa -p again dsdt.dsl");
  EXPECT_NE(output.find("0 Errors, 0 Warnings, 0 Remarks"), std::string::npos) << output << source;
  constexpr std::size_t kHeader = 36;  // Names its compiler.
  const std::string again = read(folder.path() / "again.aml");
  ASSERT_EQ(again.size(), dsdt.size()) << source;
  for (std::size_t i = kHeader; i < dsdt.size(); ++i) {
    ASSERT_EQ(std::byte(again[i]), dsdt[i]) << "at " << i << " of\n" << source;
  }
}

INSTANTIATE_TEST_SUITE_P(Machines, AcpicaTest, ::testing::Bool(),
                         [](const auto& parameter) { return parameter.param ? "full" : "small"; });

}  // namespace
}  // namespace ensemble::device
