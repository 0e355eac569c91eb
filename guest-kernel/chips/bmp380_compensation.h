#pragma once

#include <cstdint>
#include <span>

#include "guest-kernel/chips/registers.h"

namespace chips {

// The trim words of a BMP380, and what they make of raw values: the formulas of the data sheet
// BST-BMP380-DS001, section 9, in whole numbers.
class Bmp380Compensation {
 public:
  static constexpr std::size_t kSize = 21;  // bytes of trim words

  explicit Bmp380Compensation(std::span<const std::uint8_t> words) {
    t1_ = low_first(words);
    t2_ = low_first(words.subspan(2));
    t3_ = small(words[4]);
    p1_ = signed_low_first(words.subspan(5)) - 0x4000;
    p2_ = signed_low_first(words.subspan(7)) - 0x4000;
    p3_ = small(words[9]);
    p4_ = small(words[10]);
    p5_ = low_first(words.subspan(11));
    p6_ = low_first(words.subspan(13));
    p7_ = small(words[15]);
    p8_ = small(words[16]);
    p9_ = signed_low_first(words.subspan(17));
    p10_ = small(words[19]);
    p11_ = small(words[20]);
  }

  // Hundredths of a degree Celsius. `raw`: 24 bits.
  std::int64_t temperature(std::uint32_t raw) const { return fine_temperature(raw) * 100 >> 30; }

  // Hundredths of a pascal, at a temperature that is known by its raw value.
  std::int64_t pressure(std::uint32_t raw, std::uint32_t raw_temperature) const {
    const std::int64_t t = fine_temperature(raw_temperature) >> 14;  // 2^-16 °C
    const std::int64_t t2 = t * t;                                   // 2^-32
    const std::int64_t t3 = (t2 >> 16) * t;                          // 2^-32
    // 2^-16 Pa.
    const std::int64_t offset = (p5_ << 19) + (p6_ * t >> 6) + (p7_ * t2 >> 24) + (p8_ * t3 >> 31);
    // 2^-52 Pa a step.
    const std::int64_t slope =
        p1_ * (std::int64_t{1} << 32) + p2_ * t * 128 + (p3_ * t2 >> 12) + (p4_ * t3 >> 17);
    const Wide square = Wide{raw} * raw;
    const Wide bends = (square * (p9_ * 65536 + p10_ * t) >> 48) + (square * raw * p11_ >> 49);
    return static_cast<std::int64_t>((offset + (Wide{raw} * slope >> 36) + bends) * 100 >> 16);
  }

 private:
  __extension__ using Wide = __int128;

  static std::int64_t small(std::uint8_t byte) { return static_cast<std::int8_t>(byte); }

  // 2^-30 °C.
  std::int64_t fine_temperature(std::uint32_t raw) const {
    const std::int64_t steps = std::int64_t{raw} - t1_ * 256;
    return steps * t2_ + (steps * steps * t3_ >> 18);
  }

  std::int64_t t1_, t2_, t3_;
  std::int64_t p1_, p2_, p3_, p4_, p5_, p6_, p7_, p8_, p9_, p10_, p11_;
};

}  // namespace chips
