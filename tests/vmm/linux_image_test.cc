#include "linux_image.h"

#include <gtest/gtest.h>

#include "linux_image_builder.h"
#include "test_support.h"

namespace ensemble::vmm::arch {
namespace {

std::string refuse(const std::vector<std::byte>& file) {
  return error_of(parse_linux_image(file));
}
std::string refuse(const LinuxImageBuilder& builder) {
  return refuse(builder.build());
}

TEST(LinuxImageTest, TellsWhatTheKernelWants) {
  const LinuxImageBuilder builder;
  const std::vector<std::byte> file = builder.build();
  ASSERT_TRUE(is_linux_image(file));
  const LinuxImage image = take(parse_linux_image(file));
  EXPECT_EQ(image.address, 4u << 20);
  EXPECT_EQ(image.memory_size, 2u << 20);
  EXPECT_EQ(image.ramdisk_end, 0x80000000u);
  EXPECT_EQ(image.command_line_limit, 2047u);
  EXPECT_EQ(image.kernel.data(), file.data() + 5 * 512);
  EXPECT_EQ(image.kernel.size(), 8192u);
  EXPECT_EQ(image.setup_header.data(), file.data() + 0x1f1);
  EXPECT_EQ(image.setup_header.size(), 0x202u + 0x6a - 0x1f1);
}

TEST(LinuxImageTest, LeavesOutWhatFollowsTheKernel) {
  LinuxImageBuilder builder;
  builder.header.syssize = 8192 / 16;
  builder.kernel.resize(9000);
  EXPECT_EQ(take(parse_linux_image(builder.build())).kernel.size(), 8192u);
}

TEST(LinuxImageTest, CountsFourSectorsWhereTheHeaderHasNone) {
  LinuxImageBuilder builder;
  std::vector<std::byte> file = builder.build();
  file[0x1f1] = std::byte{0};
  EXPECT_EQ(take(parse_linux_image(file)).kernel.data(), file.data() + 5 * 512);
}

TEST(LinuxImageTest, RefusesOtherFiles) {
  EXPECT_FALSE(is_linux_image({}));
  EXPECT_EQ(refuse(std::vector<std::byte>()),
            "is no Linux kernel image: it lacks \"HdrS\" at 0x202");
  EXPECT_EQ(refuse(std::vector<std::byte>(8192)),
            "is no Linux kernel image: it lacks \"HdrS\" at 0x202");
}

TEST(LinuxImageTest, RefusesImagesThatAreCutShort) {
  std::vector<std::byte> file = LinuxImageBuilder().build();
  const size_t whole = file.size();
  file.pop_back();
  EXPECT_EQ(refuse(file), fmt::format("is cut short: it has {} of {} bytes", whole - 1, whole));
  file.resize(1024);
  EXPECT_EQ(refuse(file), fmt::format("is cut short: it has 1024 of {} bytes", whole));
  file.resize(0x210);
  EXPECT_TRUE(contains(refuse(file), "is cut short: it has 528 bytes, and its header alone has"));
}

TEST(LinuxImageTest, RefusesKernelsOfOtherKinds) {
  const auto with = [](auto&& change) {
    LinuxImageBuilder builder;
    change(builder.header);
    return refuse(builder);
  };
  EXPECT_EQ(with([](setup_header& header) { header.boot_flag = 0; }),
            "has the boot flag 0x0 where 0xaa55 was expected");
  EXPECT_EQ(with([](setup_header& header) { header.version = 0x20b; }),
            "speaks version 2.11 of Linux's boot protocol; 2.12 or later is needed");
  EXPECT_EQ(with([](setup_header& header) { header.loadflags = 0; }),
            "is a Linux kernel for memory below 1 MiB (zImage)");
  EXPECT_EQ(with([](setup_header& header) { header.xloadflags = 0; }), "is no 64-bit Linux kernel");
  EXPECT_EQ(with([](setup_header& header) { header.pref_address = 0x8000; }),
            "wants to lie at 0x8000, below 1 MiB");
  EXPECT_EQ(with([](setup_header& header) { header.pref_address = UINT64_MAX; }),
            "wants to lie at 0xffffffffffffffff, above 4 GiB");
  EXPECT_EQ(with([](setup_header& header) { header.init_size = 4096; }),
            "asks for 4096 bytes of memory, fewer than the 8192 of its kernel");
}

TEST(LinuxImageTest, RefusesKernelsWithoutTheirEntry) {
  LinuxImageBuilder builder;
  builder.kernel.resize(0x200);
  EXPECT_EQ(refuse(builder), "has a kernel of 512 bytes, which ends before its entry at 0x200");
}

}  // namespace
}  // namespace ensemble::vmm::arch
