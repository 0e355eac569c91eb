#include "device-model/acpi/acpi_tables.h"

#include <cstring>
#include <limits>
#include <span>

#include "device-model/machine_layout.h"

namespace ensemble::device {
namespace {

using Bytes = std::vector<std::byte>;

// The tables of ACPI 6.4, chapter 5, as they lie in memory.
struct [[gnu::packed]] Header {
  char signature[4] = {};
  std::uint32_t length = 0;
  std::uint8_t revision = 0;
  std::uint8_t checksum = 0;
  char oem_id[6] = {'E', 'N', 'S', 'M', 'B', 'L'};
  char oem_table_id[8] = {'E', 'N', 'S', 'E', 'M', 'B', 'L', 'E'};
  std::uint32_t oem_revision = 1;
  char creator_id[4] = {'E', 'N', 'S', 'M'};
  std::uint32_t creator_revision = 1;
};
static_assert(sizeof(Header) == 36);

struct [[gnu::packed]] Rsdp {
  char signature[8] = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '};
  std::uint8_t checksum = 0;  // Of the first 20 bytes.
  char oem_id[6] = {'E', 'N', 'S', 'M', 'B', 'L'};
  std::uint8_t revision = 2;
  std::uint32_t rsdt = 0;
  std::uint32_t length = 36;
  std::uint64_t xsdt = 0;
  std::uint8_t extended_checksum = 0;
  std::uint8_t reserved[3] = {};
};
static_assert(sizeof(Rsdp) == 36);
constexpr std::size_t kRsdpFirstPart = 20;

struct [[gnu::packed]] GenericAddress {
  std::uint8_t space = 0;  // System memory.
  std::uint8_t bit_width = 0;
  std::uint8_t bit_offset = 0;
  std::uint8_t access_size = 0;
  std::uint64_t address = 0;
};

struct [[gnu::packed]] Fadt {
  Header header;
  std::uint32_t facs = 0;
  std::uint32_t dsdt = 0;
  std::uint8_t reserved = 0;
  std::uint8_t profile = 0;
  std::uint8_t fixed_hardware[62] = {};  // There is none: all zero.
  std::uint8_t century = 0;              // Index in the real-time clock; 0: it has none.
  std::uint16_t boot_flags = 0;
  std::uint8_t reserved2 = 0;
  std::uint32_t flags = 0;
  GenericAddress reset_register;
  std::uint8_t reset_value = 0;
  std::uint16_t arm_boot_flags = 0;
  std::uint8_t minor_version = 0;
  std::uint64_t extended_facs = 0;
  std::uint64_t extended_dsdt = 0;
  GenericAddress extended_fixed_hardware[8] = {};
  GenericAddress sleep_control;
  GenericAddress sleep_status;
  std::uint64_t hypervisor = 0;
};
static_assert(sizeof(Fadt) == 276);
static_assert(offsetof(Fadt, boot_flags) == 109 && offsetof(Fadt, sleep_control) == 244);

struct [[gnu::packed]] Madt {
  Header header;
  std::uint32_t local_apic = 0;
  std::uint32_t flags = 0;  // No 8259s.
};

struct [[gnu::packed]] LocalApic {
  std::uint8_t type = 0;
  std::uint8_t length = 8;
  std::uint8_t processor = 0;
  std::uint8_t apic_id = 0;
  std::uint32_t flags = 1;  // Enabled.
};
static_assert(sizeof(LocalApic) == 8);

struct [[gnu::packed]] LocalX2Apic {
  std::uint8_t type = 9;
  std::uint8_t length = 16;
  std::uint16_t reserved = 0;
  std::uint32_t apic_id = 0;
  std::uint32_t flags = 1;  // Enabled.
  std::uint32_t processor = 0;
};
static_assert(sizeof(LocalX2Apic) == 16);

struct [[gnu::packed]] IoApic {
  std::uint8_t type = 1;
  std::uint8_t length = 12;
  std::uint8_t id = 0;
  std::uint8_t reserved = 0;
  std::uint32_t address = 0;
  std::uint32_t first_gsi = 0;
};
static_assert(sizeof(IoApic) == 12);

constexpr std::size_t kTableAlignment = 16;

template <typename T>
void append(Bytes& bytes, const T& value) {
  const auto data = std::as_bytes(std::span(&value, 1));
  bytes.insert(bytes.end(), data.begin(), data.end());
}

// What makes the sum of all bytes 0.
std::uint8_t checksum_of(std::span<const std::byte> bytes) {
  std::uint8_t sum = 0;
  for (const std::byte byte : bytes) {
    sum = static_cast<std::uint8_t>(sum + std::to_integer<std::uint8_t>(byte));
  }
  return static_cast<std::uint8_t>(-sum);
}

Header header_of(const char (&signature)[5], std::uint8_t revision) {
  Header header;
  std::memcpy(header.signature, signature, sizeof(header.signature));
  header.revision = revision;
  return header;
}

// Fills in the length and the checksum of a table.
void seal(Bytes& table) {
  const auto length = static_cast<std::uint32_t>(table.size());
  std::memcpy(table.data() + offsetof(Header, length), &length, sizeof(length));
  table[offsetof(Header, checksum)] = static_cast<std::byte>(checksum_of(table));
}

// The tables one after another, from a guest address on.
class Placement {
 public:
  explicit Placement(std::uint64_t address) : address_(address), bytes_(sizeof(Rsdp)) {}

  // Guest address of the table.
  std::uint64_t add(Bytes table) {
    seal(table);
    bytes_.resize((bytes_.size() + kTableAlignment - 1) / kTableAlignment * kTableAlignment);
    const std::uint64_t place = address_ + bytes_.size();
    bytes_.insert(bytes_.end(), table.begin(), table.end());
    return place;
  }

  Bytes finish(std::uint64_t xsdt) {
    Rsdp rsdp;
    rsdp.xsdt = xsdt;
    const auto bytes = std::as_bytes(std::span(&rsdp, 1));
    rsdp.checksum = checksum_of(bytes.first(kRsdpFirstPart));
    rsdp.extended_checksum = checksum_of(bytes);
    std::memcpy(bytes_.data(), &rsdp, sizeof(rsdp));
    return std::move(bytes_);
  }

 private:
  std::uint64_t address_;
  Bytes bytes_;
};

GenericAddress byte_register(std::uint64_t address) {
  constexpr std::uint8_t kByteAccess = 1;
  return {.bit_width = 8, .access_size = kByteAccess, .address = address};
}

Bytes make_fadt(const MachineDescription& machine, std::uint64_t dsdt) {
  constexpr std::uint8_t kRevision = 6;
  // Boot flags.
  constexpr std::uint16_t kNoVga = 1 << 2;
  constexpr std::uint16_t kNoClock = 1 << 5;
  // Flags.
  constexpr std::uint32_t kWriteBackInvalidate = 1 << 0;
  constexpr std::uint32_t kNoFixedPowerButton = 1 << 4;
  constexpr std::uint32_t kNoFixedSleepButton = 1 << 5;
  constexpr std::uint32_t kResetRegister = 1 << 10;
  constexpr std::uint32_t kHeadless = 1 << 12;
  constexpr std::uint32_t kHardwareReduced = 1 << 20;
  Fadt fadt;
  fadt.header = header_of("FACP", kRevision);
  fadt.dsdt = static_cast<std::uint32_t>(dsdt);
  fadt.extended_dsdt = dsdt;
  fadt.century = machine.has_clock ? kClockCenturyIndex : 0;
  fadt.boot_flags = kNoVga | (machine.has_clock ? 0 : kNoClock);
  fadt.flags = kWriteBackInvalidate | kNoFixedPowerButton | kNoFixedSleepButton | kResetRegister |
               kHeadless | kHardwareReduced;
  fadt.reset_register = byte_register(kResetAddress);
  fadt.reset_value = kResetValue;
  fadt.sleep_control = byte_register(kSleepControlAddress);
  fadt.sleep_status = byte_register(kSleepStatusAddress);
  Bytes table;
  append(table, fadt);
  return table;
}

Bytes make_madt(const MachineDescription& machine) {
  constexpr std::uint8_t kRevision = 5;
  constexpr std::uint32_t kFirstX2ApicId = 255;  // 255 is every local APIC at once.
  Bytes table;
  append(table, Madt{.header = header_of("APIC", kRevision),
                     .local_apic = static_cast<std::uint32_t>(kLocalApicAddress)});
  std::uint32_t processor = 0;
  for (const std::uint32_t apic_id : machine.apic_ids) {
    if (apic_id < kFirstX2ApicId && processor < kFirstX2ApicId) {
      append(table, LocalApic{.processor = static_cast<std::uint8_t>(processor),
                              .apic_id = static_cast<std::uint8_t>(apic_id)});
    } else {
      append(table, LocalX2Apic{.apic_id = apic_id, .processor = processor});
    }
    ++processor;
  }
  append(table, IoApic{.address = static_cast<std::uint32_t>(kIoApicAddress)});
  return table;
}

}  // namespace

Result<std::vector<std::byte>> encode_acpi(const MachineDescription& machine,
                                           std::uint64_t address) {
  constexpr std::uint8_t kDsdtRevision = 2;  // Integers have 64 bits.
  constexpr std::uint8_t kXsdtRevision = 1;
  if (address % kTableAlignment != 0 || address > std::numeric_limits<std::uint32_t>::max()) {
    return fail("ACPI tables cannot lie at {:#x}: a multiple of {} below 4 GiB is needed", address,
                kTableAlignment);
  }
  const auto block = encode_definition_block(machine);
  if (!block) {
    return std::unexpected(block.error());
  }
  Bytes dsdt;
  append(dsdt, header_of("DSDT", kDsdtRevision));
  dsdt.insert(dsdt.end(), block->begin(), block->end());

  Placement placement(address);
  const std::uint64_t dsdt_at = placement.add(std::move(dsdt));
  const std::uint64_t fadt_at = placement.add(make_fadt(machine, dsdt_at));
  const std::uint64_t madt_at = placement.add(make_madt(machine));
  Bytes xsdt;
  append(xsdt, header_of("XSDT", kXsdtRevision));
  append(xsdt, fadt_at);
  append(xsdt, madt_at);
  const std::uint64_t xsdt_at = placement.add(std::move(xsdt));
  return placement.finish(xsdt_at);
}

}  // namespace ensemble::device
