#pragma once

#include <array>

#include "device-model/world/world.h"

namespace ensemble::device {

// A world in which nothing changes by itself: at rest, until `set` says otherwise.
class ConstantWorld final : public World {
 public:
  ConstantWorld() {
    for (std::size_t i = 0; i < kQuantityCount; ++i) {
      values_[i] = facts_of(static_cast<Quantity>(i)).at_rest;
    }
  }

  // `value` is finite. Holds for all times, past ones included.
  void set(Quantity quantity, double value) { values_[static_cast<std::size_t>(quantity)] = value; }

  double measure(Quantity quantity, std::uint64_t) const override {
    return values_[static_cast<std::size_t>(quantity)];
  }

 private:
  std::array<double, kQuantityCount> values_{};
};

}  // namespace ensemble::device
