#include "pvh_loader.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "elf_builder.h"
#include "start_info.h"
#include "test_support.h"

namespace ensemble::vmm::arch {
namespace {

constexpr uint64_t kSize = 16 << 20;
constexpr uint64_t kKernel = 0x100000;
constexpr uint64_t kMapped = 0x10'0000'0000;

Result<PvhEntry> load(GuestMemory& memory, const BootSource& source) {
  auto kernel = read_kernel_file(source.kernel_path);
  return kernel ? load_pvh(memory, source, *kernel) : std::unexpected(kernel.error());
}

class PvhLoaderTest : public ::testing::Test {
 protected:
  std::string write_kernel(uint64_t address, uint64_t memory_size) {
    ElfBuilder builder;
    builder.add_segment(address, bytes_of("kernel code"), memory_size);
    builder.add_pvh_note(address);
    return folder.write("kernel", builder.build());
  }

  // Where and how large each module is, as a guest reads it.
  struct Found {
    std::string name;
    uint64_t address;
    uint64_t size;
  };
  std::vector<Found> modules() {
    std::vector<Found> found;
    const auto count = take(memory.load<uint32_t>(0x6000 + 12));
    const auto list = take(memory.load<uint64_t>(0x6000 + 16));
    for (uint32_t i = 0; i < count; ++i) {
      found.push_back({text(take(memory.load<uint64_t>(list + i * 32 + 16))),
                       take(memory.load<uint64_t>(list + i * 32)),
                       take(memory.load<uint64_t>(list + i * 32 + 8))});
    }
    return found;
  }
  std::string text(uint64_t address) {
    std::string result;
    while (const char character = take(memory.load<char>(address++))) {
      result += character;
    }
    return result;
  }
  std::string contents(uint64_t address, size_t size) {
    std::string result(size, '\0');
    take(memory.read(address, std::as_writable_bytes(std::span(result))));
    return result;
  }
  std::string refuse(const BootSource& source) { return error_of(load(memory, source)); }

  TemporaryFolder folder;
  GuestMemory memory = take(GuestMemory::create(kSize));
};

TEST_F(PvhLoaderTest, PlacesKernelModulesAndStartInformation) {
  const std::string boot = folder.write("boot.bin", bytes_of("boot package"));
  const std::string root = folder.write("root.cpio", std::vector<std::byte>(5000, std::byte{'r'}));
  const PvhEntry entry = take(
      load(memory,
           {.kernel_path = write_kernel(kKernel, 0x2345),
            .command_line = "hello world",
            .modules = {{.name = "boot", .placement = BootModule::Placement::kCopied, .path = boot},
                        {.name = "root", .placement = BootModule::Placement::kMapped, .path = root},
                        {.name = "manifest",
                         .placement = BootModule::Placement::kCopied,
                         .path = "",
                         .contents = bytes_of("tree")}}}));
  EXPECT_EQ(entry.entry, kKernel);
  EXPECT_EQ(entry.start_info, 0x6000u);
  EXPECT_EQ(contents(kKernel, 11), "kernel code");

  EXPECT_EQ(take(memory.load<uint32_t>(0x6000)), 0x336ec578u);
  EXPECT_EQ(take(memory.load<uint32_t>(0x6004)), 1u);
  EXPECT_EQ(text(take(memory.load<uint64_t>(0x6000 + 24))), "hello world");
  const auto found = modules();
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].name, "boot");
  EXPECT_EQ(found[0].address, 0x103000u) << "the first page behind the kernel";
  EXPECT_EQ(contents(found[0].address, found[0].size), "boot package");
  EXPECT_EQ(found[1].name, "root");
  EXPECT_EQ(found[1].address, kMapped);
  EXPECT_EQ(found[1].size, 5000u);
  EXPECT_EQ(contents(kMapped + 4999, 1), "r");
  EXPECT_EQ(found[2].name, "manifest");
  EXPECT_EQ(found[2].address, 0x104000u);
  EXPECT_EQ(contents(found[2].address, found[2].size), "tree");
}

TEST_F(PvhLoaderTest, DescribesTheMemory) {
  memory = take(GuestMemory::create((uint64_t{3} << 30) + (4 << 20)));
  take(load(memory, {.kernel_path = write_kernel(kKernel, 0x1000)}));
  const auto map = take(memory.load<uint64_t>(0x6000 + 40));
  ASSERT_EQ(take(memory.load<uint32_t>(0x6000 + 48)), 4u);
  struct Entry {
    uint64_t address, size;
    uint32_t type, reserved;
    bool operator==(const Entry&) const = default;
  };
  const auto at = [&](unsigned index) { return take(memory.load<Entry>(map + index * 24)); };
  EXPECT_EQ(at(0), (Entry{0, 0xa0000, 1, 0}));
  EXPECT_EQ(at(1), (Entry{0xa0000, 0x60000, 2, 0}));
  EXPECT_EQ(at(2), (Entry{0x100000, (uint64_t{3} << 30) - 0x100000, 1, 0}));
  EXPECT_EQ(at(3), (Entry{uint64_t{4} << 30, 4 << 20, 1, 0}));
}

TEST_F(PvhLoaderTest, TouchesNoMoreThanItWrites) {
  take(load(memory, {.kernel_path = write_kernel(kKernel, 0x100000)}));
  EXPECT_EQ(take(memory.touched_bytes()), 2 * 4096u) << "start information and one page of code";
}

TEST_F(PvhLoaderTest, RefusesSegmentsInTheWrongPlace) {
  for (uint64_t address : {uint64_t{0x5ff8}, uint64_t{0x6000}, uint64_t{0x7fff}}) {
    const std::string error = refuse({.kernel_path = write_kernel(address, 0x10)});
    EXPECT_TRUE(contains(error, "has segment 0 at")) << address;
    EXPECT_TRUE(contains(error, "where the start information lies (0x6000 to 0x8000)")) << address;
    EXPECT_TRUE(contains(error, folder.path("kernel"))) << "names the file";
  }
  for (uint64_t address : {uint64_t{0x9fff8}, uint64_t{0xa0000}, uint64_t{0xfffff}}) {
    EXPECT_TRUE(contains(refuse({.kernel_path = write_kernel(address, 0x10)}),
                         "in the reserved range 0xa0000 to 0x100000"))
        << address;
  }
  for (const auto& [address, size] : std::vector<std::pair<uint64_t, uint64_t>>{
           {kSize, 0x10}, {kSize - 8, 0x10}, {kKernel, kSize}, {0xd0000000, 0x10}}) {
    EXPECT_TRUE(contains(refuse({.kernel_path = write_kernel(address, size)}),
                         "outside of the machine's memory of 16 MiB"))
        << address;
  }
  take(load(memory, {.kernel_path = write_kernel(0x8000, 0x1000)}));
}

TEST_F(PvhLoaderTest, RefusesUnusableFiles) {
  EXPECT_TRUE(contains(refuse({.kernel_path = folder.path("none")}), "No such file"));
  EXPECT_TRUE(contains(refuse({.kernel_path = folder.path("")}), "is no regular file"));
  ASSERT_EQ(::mkfifo(folder.path("fifo").c_str(), 0600), 0);
  EXPECT_TRUE(contains(refuse({.kernel_path = folder.path("fifo")}), "is no regular file"));
  EXPECT_TRUE(contains(refuse({.kernel_path = folder.write("text", bytes_of("hello"))}),
                       "text is no ELF file"));
}

TEST_F(PvhLoaderTest, RefusesUnusableModules) {
  const std::string kernel = write_kernel(kKernel, 0x1000);
  const auto refuse_module = [&](BootModule module) {
    return refuse({.kernel_path = kernel, .command_line = "", .modules = {std::move(module)}});
  };
  const auto kCopied = BootModule::Placement::kCopied;
  const auto kMappedPlacement = BootModule::Placement::kMapped;
  EXPECT_TRUE(contains(refuse_module({.name = "boot", .placement = kCopied, .path = "/none"}),
                       "cannot open module boot /none"));
  EXPECT_TRUE(
      contains(refuse_module({.name = "root", .placement = kMappedPlacement, .path = "/none"}),
               "cannot open module root /none"));
  const std::string empty = folder.write("empty", {});
  EXPECT_TRUE(
      contains(refuse_module({.name = "boot", .placement = kCopied, .path = empty}), "is empty"));
  EXPECT_TRUE(contains(
      refuse_module({.name = "root", .placement = kMappedPlacement, .path = empty}), "is empty"));
  EXPECT_TRUE(contains(refuse_module({.name = "boot", .placement = kCopied}), "boot is empty"));
  EXPECT_TRUE(contains(refuse_module({.name = "boot",
                                      .placement = kCopied,
                                      .path = "",
                                      .contents = std::vector<std::byte>(kSize)}),
                       "does not fit into the machine's memory of 16 MiB"));
  for (const std::string& name : {std::string(), std::string("a b"), std::string(65, 'n')}) {
    EXPECT_TRUE(contains(
        refuse_module({.name = name, .placement = kCopied, .path = "", .contents = bytes_of("x")}),
        "is no name for a boot module"));
  }
  EXPECT_TRUE(contains(refuse({.kernel_path = kernel,
                               .command_line = "",
                               .modules = std::vector<BootModule>(17, {.name = "m"})}),
                       "at most 16"));
}

TEST_F(PvhLoaderTest, BoundsTheCommandLine) {
  const std::string kernel = write_kernel(kKernel, 0x1000);
  EXPECT_TRUE(contains(refuse({.kernel_path = kernel, .command_line = std::string(2048, 'x')}),
                       "has 2048 bytes; at most 2047"));
  EXPECT_TRUE(contains(refuse({.kernel_path = kernel, .command_line = std::string("a\0b", 3)}),
                       "holds a NUL"));
  // The largest of everything fits.
  std::vector<BootModule> modules;
  for (int i = 0; i < 16; ++i) {
    modules.push_back({.name = std::string(64, static_cast<char>('a' + i)),
                       .placement = BootModule::Placement::kCopied,
                       .path = "",
                       .contents = bytes_of("x")});
  }
  take(load(memory,
            {.kernel_path = kernel, .command_line = std::string(2047, 'x'), .modules = modules}));
  EXPECT_EQ(modules.size(), this->modules().size());
}

TEST_F(PvhLoaderTest, SaysWhenStartInformationDoesNotFit) {
  EXPECT_TRUE(contains(error_of(write_start_info(memory, std::string(9000, 'x'), {}, 0)),
                       "do not fit into the 8192 bytes"));
}

}  // namespace
}  // namespace ensemble::vmm::arch
