#include "guest-kernel/linux/server/files/processor_text.h"

#include <array>
#include <cstring>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/linux/server/server.h"

namespace linux_server {
namespace {

struct Leaf {
  std::uint32_t a = 0, b = 0, c = 0, d = 0;
};

Leaf read_leaf(std::uint32_t number, std::uint32_t subleaf = 0) {
  Leaf leaf;
  asm volatile("cpuid"
               : "=a"(leaf.a), "=b"(leaf.b), "=c"(leaf.c), "=d"(leaf.d)
               : "a"(number), "c"(subleaf));
  return leaf;
}

struct Feature {
  unsigned bit;
  std::string_view name;
};
constexpr Feature kEdxFeatures[] = {{0, "fpu"},   {4, "tsc"},   {5, "msr"},      {8, "cx8"},
                                    {9, "apic"},  {15, "cmov"}, {19, "clflush"}, {23, "mmx"},
                                    {24, "fxsr"}, {25, "sse"},  {26, "sse2"},    {28, "ht"}};
constexpr Feature kEcxFeatures[] = {
    {0, "pni"},    {1, "pclmulqdq"}, {9, "ssse3"},   {12, "fma"},
    {13, "cx16"},  {19, "sse4_1"},   {20, "sse4_2"}, {21, "x2apic"},
    {22, "movbe"}, {23, "popcnt"},   {25, "aes"},    {26, "xsave"},
    {28, "avx"},   {29, "f16c"},     {30, "rdrand"}, {31, "hypervisor"}};
constexpr Feature kExtendedFeatures[] = {{0, "fsgsbase"}, {3, "bmi1"},   {5, "avx2"},
                                         {8, "bmi2"},     {9, "erms"},   {18, "rdseed"},
                                         {19, "adx"},     {29, "sha_ni"}};

void write_features(guest::TextWriter& text, std::uint32_t bits,
                    std::span<const Feature> features) {
  for (const Feature& feature : features) {
    if (((bits >> feature.bit) & 1) != 0) {
      text.put(' ').text(feature.name);
    }
  }
}

std::string_view read_brand(std::array<char, 48>& brand) {
  constexpr std::uint32_t kLastBrandLeaf = 0x8000'0004;
  if (read_leaf(0x8000'0000).a < kLastBrandLeaf) {
    return "x86-64 processor";
  }
  for (std::uint32_t index = 0; index < 3; ++index) {
    const Leaf leaf = read_leaf(0x8000'0002 + index);
    std::memcpy(brand.data() + index * sizeof(Leaf), &leaf, sizeof(Leaf));
  }
  std::string_view text = guest::text_of(brand);
  while (text.starts_with(' ')) {
    text.remove_prefix(1);
  }
  return text;
}

}  // namespace

void write_processors(guest::TextWriter& text, const Process* /*subject*/) {
  const Leaf base = read_leaf(0);
  const Leaf version = read_leaf(1);
  const Leaf extended = base.a >= 7 ? read_leaf(7) : Leaf{};
  std::array<char, 12> vendor;
  std::memcpy(vendor.data(), &base.b, 4);
  std::memcpy(vendor.data() + 4, &base.d, 4);
  std::memcpy(vendor.data() + 8, &base.c, 4);
  std::array<char, 48> brand = {};
  const std::string_view name = read_brand(brand);
  std::uint32_t family = (version.a >> 8) & 15;
  std::uint32_t model = (version.a >> 4) & 15;
  if (family == 6 || family == 15) {
    model |= ((version.a >> 16) & 15) << 4;
  }
  family += family == 15 ? (version.a >> 20) & 255 : 0;
  const std::uint64_t kilohertz = guest::time_page().tsc_frequency / 1000;
  const std::uint32_t processors = server().info().processor_count;
  for (std::uint32_t index = 0; index < processors; ++index) {
    text.text("processor\t: ").decimal(index).put('\n');
    text.text("vendor_id\t: ").text({vendor.data(), vendor.size()}).put('\n');
    text.text("cpu family\t: ").decimal(family).put('\n');
    text.text("model\t\t: ").decimal(model).put('\n');
    text.text("model name\t: ").text(name).put('\n');
    text.text("stepping\t: ").decimal(version.a & 15).put('\n');
    text.text("cpu MHz\t\t: ").decimal(kilohertz / 1000).put('.');
    text.decimal(kilohertz / 100 % 10).decimal(kilohertz / 10 % 10).decimal(kilohertz % 10);
    text.text("\nphysical id\t: 0\nsiblings\t: ").decimal(processors);
    text.text("\ncore id\t\t: ").decimal(index);
    text.text("\ncpu cores\t: ").decimal(processors);
    text.text("\nfpu\t\t: yes\nflags\t\t:");
    write_features(text, version.d, kEdxFeatures);
    write_features(text, version.c, kEcxFeatures);
    write_features(text, extended.b, kExtendedFeatures);
    text.text("\nclflush size\t: ").decimal(((version.b >> 8) & 255) * 8).text("\n\n");
  }
}

}  // namespace linux_server
