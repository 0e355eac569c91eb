#include "guest-kernel/chips/catalogue.h"

namespace chips {
namespace {

#define GUEST_CHIP_ROW(name) &name##_model,
constexpr const ChipModel* kCatalogue[] = {GUEST_CHIPS(GUEST_CHIP_ROW)};
#undef GUEST_CHIP_ROW

}  // namespace

std::span<const ChipModel* const> catalogue() {
  return kCatalogue;
}

std::optional<std::size_t> find_chip(std::string_view compatible) {
  for (std::size_t index = 0; index < std::size(kCatalogue); ++index) {
    if (kCatalogue[index]->compatible == compatible) {
      return index;
    }
  }
  return std::nullopt;
}

}  // namespace chips
