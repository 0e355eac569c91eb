#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "device-model/machine_description.h"
#include "vmm/error.h"

namespace ensemble::device {

// Describes the machine as ACPI 6.4 does, in the hardware-reduced profile: RSDP, XSDT, FADT, MADT
// and DSDT, to be put into guest memory at `address` (below 4 GiB, a multiple of 16). The RSDP
// comes first. Guests find:
//
// processors, I/O APIC   MADT
// power-off, reset       FADT: sleep control, sleep status and reset register; \_S5
// serial port            \_SB.COM1, PNP0501
// power button           \_SB.PWRB, PNP0C0C, told of by \_SB.GED, ACPI0013
// real-time clock        \_SB.RTC, PNP0B00
// virtio devices         \_SB.VRnn, LNRO0005 (nn: its number, hexadecimal)
// GPIO controller        \_SB.GPI0
// I2C controllers        \_SB.I2Cn, with a CHaa for the chip at address aa (hexadecimal)
//
// An Error says which part cannot be described.
Result<std::vector<std::byte>> encode_acpi(const MachineDescription& machine,
                                           std::uint64_t address);

// The definition block of the DSDT: its AML without the table's header.
Result<std::vector<std::byte>> encode_definition_block(const MachineDescription& machine);

}  // namespace ensemble::device
