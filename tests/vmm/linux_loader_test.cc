#include "linux_loader.h"

#include <asm/bootparam.h>
#include <gtest/gtest.h>

#include "linux_image_builder.h"
#include "memory_map.h"
#include "test_support.h"

namespace ensemble::vmm::arch {
namespace {

constexpr uint64_t kSize = 16 << 20;

class LinuxLoaderTest : public ::testing::Test {
 protected:
  KernelFile kernel() const { return {.label = "kernel vmlinuz", .contents = builder.build()}; }
  std::string refuse(const BootSource& source) {
    return error_of(load_linux(memory, source, kernel()));
  }
  BootSource with_ramdisk(const std::string& path) const {
    return {.modules = {{.name = "initrd", .path = path}}};
  }
  std::string contents(uint64_t address, size_t size) {
    std::string result(size, '\0');
    take(memory.read(address, std::as_writable_bytes(std::span(result))));
    return result;
  }

  TemporaryFolder folder;
  LinuxImageBuilder builder;
  GuestMemory memory = take(GuestMemory::create(kSize));
};

TEST_F(LinuxLoaderTest, PlacesKernelRamDiskAndBootParameters) {
  BootSource source = with_ramdisk(folder.write("initrd", bytes_of("RAM disk")));
  source.command_line = "console=ttyS0 quiet";
  source.acpi = {.address = 0xe0000, .contents = bytes_of("RSD PTR ")};
  const LinuxEntry entry = take(load_linux(memory, source, kernel()));
  EXPECT_EQ(entry.entry, (4u << 20) + 0x200);
  EXPECT_EQ(contents(4 << 20, 8193), std::string(8192, 'k') + '\0');

  const auto params = take(memory.load<boot_params>(entry.boot_params));
  EXPECT_EQ(params.hdr.header, 0x53726448u);
  EXPECT_EQ(params.hdr.type_of_loader, 0xff);
  EXPECT_EQ(params.acpi_rsdp_addr, 0xe0000u);
  EXPECT_EQ(contents(params.hdr.cmd_line_ptr, 20), std::string("console=ttyS0 quiet") + '\0');
  EXPECT_EQ(params.hdr.ramdisk_image, kSize - 4096);
  EXPECT_EQ(params.hdr.ramdisk_size, 8u);
  EXPECT_EQ(contents(params.hdr.ramdisk_image, 8), "RAM disk");

  const std::vector<MapRange> map = memory_map(memory);
  ASSERT_EQ(params.e820_entries, map.size());
  ASSERT_EQ(map.size(), 3u);
  for (size_t i = 0; i < map.size(); ++i) {
    EXPECT_EQ(params.e820_table[i].addr, map[i].address);
    EXPECT_EQ(params.e820_table[i].size, map[i].size);
    EXPECT_EQ(params.e820_table[i].type, static_cast<uint32_t>(map[i].kind));
  }
}

TEST_F(LinuxLoaderTest, MapsTheFirst4GiBToThemselves) {
  const LinuxEntry entry = take(load_linux(memory, {}, kernel()));
  for (const uint64_t address : {uint64_t{0}, uint64_t{0x6000}, uint64_t{4} << 20,
                                 uint64_t{0xfee00000}, uint64_t{0xffffffff}}) {
    const auto level4 = take(memory.load<uint64_t>(entry.page_tables));
    const auto level3 = take(memory.load<uint64_t>((level4 & ~0xfffull) + (address >> 30) * 8));
    const auto level2 =
        take(memory.load<uint64_t>((level3 & ~0xfffull) + (address >> 21) % 512 * 8));
    EXPECT_EQ(level4 & 3, 3u);
    EXPECT_EQ(level3 & 3, 3u);
    EXPECT_EQ(level2 & 0x83, 0x83u) << "a large page";
    EXPECT_EQ(level2 & ~0x1fffffull, address & ~0x1fffffull);
  }
  const auto params = take(memory.load<boot_params>(entry.boot_params));
  EXPECT_EQ(params.hdr.ramdisk_size, 0u);
  EXPECT_EQ(params.acpi_rsdp_addr, 0u);
}

TEST_F(LinuxLoaderTest, KeepsTheRamDiskBelowTheKernelsLimit) {
  builder.header.initrd_addr_max = (8 << 20) - 1;
  const LinuxEntry entry =
      take(load_linux(memory, with_ramdisk(folder.write("initrd", bytes_of("disk"))), kernel()));
  const auto params = take(memory.load<boot_params>(entry.boot_params));
  EXPECT_EQ(params.hdr.ramdisk_image, (8u << 20) - 4096);
}

TEST_F(LinuxLoaderTest, ExplainsWhatDoesNotFit) {
  const std::string big = folder.write("big", std::vector<std::byte>(11 << 20));
  EXPECT_EQ(refuse(with_ramdisk(big)),
            "initial RAM disk " + big +
                " with 11534336 bytes does not fit into the machine's memory of 16 MiB beside the "
                "kernel, which needs 2 MiB at 0x400000");
  const std::string empty = folder.write("empty", {});
  EXPECT_EQ(refuse(with_ramdisk(empty)), "initial RAM disk " + empty + " is empty");
  EXPECT_TRUE(contains(refuse(with_ramdisk("/nonexistent/i")),
                       "cannot open initial RAM disk /nonexistent/i: No such file"));
  builder.header.init_size = 13 << 20;
  EXPECT_EQ(refuse({}),
            "kernel vmlinuz needs 13 MiB of memory at 0x400000, more than the machine's 16 MiB");
}

TEST_F(LinuxLoaderTest, ExplainsBadRequests) {
  EXPECT_EQ(refuse({.command_line = std::string(2048, 'x')}),
            "the kernel command line has 2048 bytes; at most 2047 are possible");
  EXPECT_EQ(refuse({.modules = {{.name = "boot"}, {.name = "root"}}}),
            "kernel vmlinuz is Linux, which takes one module, its initial RAM disk; there are 2");
  builder.header.cmdline_size = 255;
  EXPECT_EQ(refuse({.command_line = std::string(256, 'x')}),
            "the kernel command line has 256 bytes; kernel vmlinuz takes 255 at most");
  builder.header.version = 0x100;
  EXPECT_TRUE(contains(refuse({}), "kernel vmlinuz speaks version 1.0"));
}

}  // namespace
}  // namespace ensemble::vmm::arch
