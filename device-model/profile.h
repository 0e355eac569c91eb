#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "device-model/chip_catalogue.h"
#include "device-model/network_choice.h"

namespace ensemble::device {

// What a product is made of, as a profile describes it. Plain checked values: whoever holds a
// Profile that load_profile() returned need not check ranges, duplicates or references again.

enum class ScreenShape { kRectangle, kRound };

struct Screen {
  std::uint32_t width = 0;   // Pixels.
  std::uint32_t height = 0;  // Pixels.
  ScreenShape shape = ScreenShape::kRectangle;
  std::uint32_t density = 0;          // Pixels per inch.
  std::uint32_t minimum_refresh = 0;  // Hz.
  std::uint32_t maximum_refresh = 0;  // Hz.

  // The size of the visible area in millimetres, rounded.
  std::uint32_t width_millimetres() const;
  std::uint32_t height_millimetres() const;
};

// A chip at an address of a bus.
struct Chip {
  std::string name;                  // Of its role in the product: "motion", "fuel-gauge".
  const ChipModel* model = nullptr;  // In the chip catalogue. Never null in a loaded profile.
  std::string bus;
  std::uint8_t address = 0;  // 7 bits.
};

struct Battery {
  std::uint32_t capacity = 0;         // Design charge in µAh.
  std::uint32_t energy = 0;           // Design energy in µWh.
  std::uint32_t minimum_voltage = 0;  // µV, empty.
  std::uint32_t maximum_voltage = 0;  // µV, full.
  std::string chemistry;              // As the "device-chemistry" property of simple-battery.
  std::optional<Chip> fuel_gauge;
  std::optional<Chip> charger;
};

// A button and the Linux key code that it sends.
struct Button {
  std::string_view name;
  std::string_view label;
  std::uint16_t key_code = 0;
};

struct Touch {
  std::uint32_t contacts = 0;  // Fingers followed at once.
};

struct Crown {
  std::uint32_t steps = 0;  // Detents per turn.
};

struct Gnss {
  std::uint32_t rate = 0;  // Fixes per second, in Hz.
};

struct I2cBus {
  std::string name;
  std::uint32_t clock = 0;  // Hz.
};

enum class Isolation {
  kPacked,    // Services that no group names share one protection domain.
  kIsolated,  // Services that no group names have a protection domain each.
};

// Services that share one protection domain.
struct DomainGroup {
  std::string name;
  std::vector<std::string> services;
};

struct Domains {
  Isolation isolation = Isolation::kIsolated;
  std::vector<DomainGroup> groups;
};

struct Profile {
  std::string name;          // The file's name without ".yaml": letters, digits and hyphens.
  std::string path;          // The file that it was read from.
  std::string model;         // The product's name, for people.
  bool abstract = false;     // Only there to be extended. Never true in a loaded profile.
  std::uint32_t cpus = 0;    // 1 to 8.
  std::uint64_t memory = 0;  // Bytes: a multiple of 2 MiB, 16 MiB to 32 GiB.
  std::optional<Screen> screen;
  std::optional<Battery> battery;
  std::vector<Button> buttons;
  std::optional<Touch> touch;
  std::optional<Crown> crown;
  bool keyboard_dock = false;
  std::vector<I2cBus> buses;
  std::vector<Chip> sensors;
  std::optional<Chip> haptics;
  std::optional<Gnss> gnss;
  NetworkChoice network;
  Domains domains;

  // Every chip of the product, whatever its role. Valid as long as the profile is unchanged.
  std::vector<const Chip*> chips() const;
};

inline constexpr std::uint32_t kMinimumCpus = 1;
inline constexpr std::uint32_t kMaximumCpus = 8;
inline constexpr std::uint64_t kMinimumMemory = 16ULL << 20;
inline constexpr std::uint64_t kMaximumMemory = 32ULL << 30;
inline constexpr std::uint64_t kMemoryStep = 2ULL << 20;

// "rectangle", "round"; "packed", "isolated": the words that profiles and manifests use.
std::string_view to_string(ScreenShape shape);
std::string_view to_string(Isolation isolation);

}  // namespace ensemble::device
