// A hostile guest at the ports of the real-time clock, as time passes: nothing may crash or hang,
// and what is saved, or anything else, can be restored.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "device-model/clock/cmos_clock.h"

namespace {

using namespace ensemble;
using namespace ensemble::device;

class Bench final : public ClockHost {
 public:
  std::int64_t real_time() const override { return now_; }
  void interrupt() override {}
  void wake_after(std::optional<std::int64_t> delay) override {
    if (delay && *delay < 1) {
      __builtin_trap();  // A timer would never expire.
    }
    wakes_ = delay.has_value();
  }

  // The host's years are 1970 to 2065.
  void pass(std::int64_t time) { now_ = std::clamp<std::int64_t>(now_ + time, 0, kLatest); }
  bool wakes() const { return wakes_; }

 private:
  static constexpr std::int64_t kLatest = 3'000'000'000'000'000'000;
  std::int64_t now_ = 1'795'470'358'250'000'000;
  bool wakes_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bench bench;
  CmosClock clock(bench);
  const std::span<const std::uint8_t> input(data, size);
  for (std::size_t i = 0; i + 2 < input.size(); i += 3) {
    std::byte value{input[i + 1]};
    clock.write(0, {&value, 1});
    value = std::byte{input[i + 2]};
    switch (input[i] & 3) {
      case 0:
        clock.read(1, {&value, 1});
        break;
      case 1:
        bench.pass(std::int64_t{1} << (input[i] >> 2) % 62);  // Up to decades.
        if (bench.wakes()) {
          clock.wake();
        }
        break;
      default:
        clock.write(1, {&value, 1});
    }
    if (input[i] >> 2 > 55) {
      bench.pass(-(std::int64_t{1} << 40));  // The host's clock is set back.
    }
  }
  vmm::StateWriter writer;
  vmm::StateReader arbitrary(std::as_bytes(input));
  if (!clock.save(writer)) {
    __builtin_trap();
  }
  (void)clock.restore(arbitrary, 1);
  vmm::StateReader reader(writer.data());
  if (!clock.restore(reader, 1)) {
    __builtin_trap();
  }
  return 0;
}
