#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

#include "guest-kernel/chips/chip.h"

// All chips that there are drivers for. Each is a file in this folder, which defines
// NAME_model and NAME_driver, and a row here.
#define GUEST_CHIPS(CHIP) \
  CHIP(ak09912)           \
  CHIP(bmc150)            \
  CHIP(bmi160)            \
  CHIP(bmp380)            \
  CHIP(bq24190)           \
  CHIP(lps22hb)           \
  CHIP(lsm6dso)           \
  CHIP(ltr559)            \
  CHIP(max17047)          \
  CHIP(max30102)          \
  CHIP(stk3310)

namespace chips {

#define GUEST_CHIP_DECLARE(name)       \
  extern const ChipModel name##_model; \
  extern const ChipDriver name##_driver;
GUEST_CHIPS(GUEST_CHIP_DECLARE)
#undef GUEST_CHIP_DECLARE

// In the order of the rows.
std::span<const ChipModel* const> catalogue();

// The index in the catalogue of what is bound by `compatible`.
std::optional<std::size_t> find_chip(std::string_view compatible);

}  // namespace chips
