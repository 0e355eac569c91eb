#include "device-model/profile.h"

namespace ensemble::device {
namespace {

std::uint32_t millimetres(std::uint32_t pixels, std::uint32_t pixels_per_inch) {
  return (pixels * 254 + pixels_per_inch * 5) / (pixels_per_inch * 10);
}

}  // namespace

std::uint32_t Screen::width_millimetres() const {
  return millimetres(width, density);
}
std::uint32_t Screen::height_millimetres() const {
  return millimetres(height, density);
}

std::vector<const Chip*> Profile::chips() const {
  std::vector<const Chip*> chips;
  chips.reserve(sensors.size());
  for (const Chip& sensor : sensors) {
    chips.push_back(&sensor);
  }
  const auto add = [&chips](const std::optional<Chip>& chip) {
    if (chip) {
      chips.push_back(&*chip);
    }
  };
  if (battery) {
    add(battery->fuel_gauge);
    add(battery->charger);
  }
  add(haptics);
  return chips;
}

std::string_view to_string(ScreenShape shape) {
  return shape == ScreenShape::kRound ? "round" : "rectangle";
}

std::string_view to_string(Isolation isolation) {
  return isolation == Isolation::kPacked ? "packed" : "isolated";
}

}  // namespace ensemble::device
