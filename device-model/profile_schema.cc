#include "device-model/profile_schema.h"

#include <map>

#include "device-model/machine_layout.h"
#include "device-model/schema.h"

namespace ensemble::device {
namespace {

using schema::Choice;
using schema::count;
using schema::Field;
using schema::flag;
using schema::identifier;
using schema::quantity;
using schema::quantity_range;
using enum schema::Presence;

constexpr std::size_t kMaximumSensors = 64;
constexpr std::size_t kMaximumBuses = kI2cGsis.size();
constexpr std::size_t kMaximumGroups = 32;
constexpr std::size_t kMaximumServices = 64;

template <auto Member>
Result<void> text(const YamlNode& node, schema::SectionOf<Member>& section) {
  constexpr std::size_t kLongest = 128;
  const Result<std::string> value = schema::read_text(node, "a text");
  if (value && value->size() > kLongest) {
    return fail_at(node.location, fmt::format("text longer than {} bytes", kLongest));
  }
  return schema::store(value, section.*Member);
}

// Fails unless `node` is a sequence of at most `limit` items.
Result<void> check_sequence(const YamlNode& node, std::string_view expected, std::size_t limit) {
  if (node.kind != YamlNode::Kind::kSequence) {
    return fail_at(node.location, fmt::format("expected a list of {}", expected));
  }
  if (node.items.size() > limit) {
    return fail_at(node.location, fmt::format("more than {} {}", limit, expected));
  }
  return {};
}

// Fails unless `node` is a mapping of at most `limit` names to something.
Result<void> check_names(const YamlNode& node, std::string_view expected, std::size_t limit) {
  if (node.kind != YamlNode::Kind::kMapping) {
    return fail_at(node.location, fmt::format("expected a mapping of names to {}", expected));
  }
  if (node.entries.size() > limit) {
    return fail_at(node.location, fmt::format("more than {} {}", limit, expected));
  }
  for (const YamlNode::Entry& entry : node.entries) {
    if (Result<void> checked = schema::check_identifier(entry.key, entry.key_location); !checked) {
      return checked;
    }
  }
  return {};
}

// The names of the chips of a role, for errors.
std::vector<std::string_view> chip_names(ChipRole role) {
  std::vector<std::string_view> names;
  for (const ChipModel* model : chip_catalogue()) {
    if (model->role == role) {
      names.push_back(model->name);
    }
  }
  return names;
}

Result<void> read_chip_model(const YamlNode& node, Chip& chip) {
  const Result<std::string> name = schema::read_text(node, "the name of a chip");
  if (!name) {
    return std::unexpected(name.error());
  }
  chip.model = find_chip(*name);
  if (chip.model == nullptr) {
    std::vector<std::string_view> known;
    for (const ChipModel* model : chip_catalogue()) {
      known.push_back(model->name);
    }
    return fail_at(node.location, schema::describe_unknown("chip", *name, known));
  }
  return {};
}

constexpr Field<Chip> kChipFields[] = {
    {"chip", kRequired, read_chip_model},
    {"bus", kRequired, identifier<&Chip::bus>},
    {"address", kRequired, count<&Chip::address, 0x08, 0x77>},
};

// Reads a chip that must have `role`. Whether its bus exists and its address is free is for
// check_chips(), when all are known.
Result<Chip> read_chip(const YamlNode& node, const std::string& name, ChipRole role) {
  Result<Chip> chip =
      schema::read_section<Chip>(node, name, kChipFields, {.name = name, .bus = {}});
  if (!chip) {
    return chip;
  }
  const ChipModel& model = *chip->model;
  if (model.role != role) {
    return fail_at(node.find("chip")->location,
                   fmt::format("chip '{}' is {}; expected {}: {}", model.name, describe(model.role),
                               describe(role), fmt::join(chip_names(role), ", ")));
  }
  if (std::ranges::find(model.addresses, chip->address) == model.addresses.end()) {
    return fail_at(node.find("address")->location,
                   fmt::format("chip '{}' cannot be at {:#04x}; expected one of: {:#04x}",
                               model.name, chip->address, fmt::join(model.addresses, ", ")));
  }
  return chip;
}

template <ChipRole Role, auto Member>
Result<void> chip(const YamlNode& node, schema::SectionOf<Member>& section) {
  constexpr std::string_view kName = Role == ChipRole::kFuelGauge ? "fuel-gauge"
                                     : Role == ChipRole::kCharger ? "charger"
                                                                  : "haptics";
  return schema::store(read_chip(node, std::string(kName), Role), section.*Member);
}

// An optional section that is read by the table `Fields`.
template <auto Member, const auto& Fields>
Result<void> section(const YamlNode& node, schema::SectionOf<Member>& parent,
                     std::string_view name) {
  using Section = typename schema::ValueOf<Member>::value_type;
  return schema::store(schema::read_section<Section>(node, name, Fields), parent.*Member);
}

constexpr Choice<ScreenShape> kShapes[] = {{"rectangle", ScreenShape::kRectangle},
                                           {"round", ScreenShape::kRound}};

Result<void> read_shape(const YamlNode& node, Screen& screen) {
  return schema::store(schema::read_choice(node, "shape", kShapes), screen.shape);
}

constexpr Field<Screen> kScreenFields[] = {
    {"width", kRequired, quantity<&Screen::width, kPixels, 16, 16384>},
    {"height", kRequired, quantity<&Screen::height, kPixels, 16, 16384>},
    {"shape", kOptional, read_shape},
    {"density", kRequired, quantity<&Screen::density, kDensity, 40, 2000>},
    {"refresh", kRequired,
     quantity_range<&Screen::minimum_refresh, &Screen::maximum_refresh, kFrequency, 1, 480>},
};

Result<void> read_screen(const YamlNode& node, Profile& profile) {
  if (Result<void> read = section<&Profile::screen, kScreenFields>(node, profile, "screen");
      !read) {
    return read;
  }
  const Screen& screen = *profile.screen;
  if (screen.shape == ScreenShape::kRound && screen.width != screen.height) {
    return fail_at(node.location, fmt::format("a round screen is as wide as high, but this one is "
                                              "{} px by {} px",
                                              screen.width, screen.height));
  }
  return {};
}

constexpr Choice<std::string_view> kChemistries[] = {
    {"lithium-ion", "lithium-ion"},
    {"lithium-ion-polymer", "lithium-ion-polymer"},
    {"lithium-ion-iron-phosphate", "lithium-ion-iron-phosphate"},
    {"nickel-metal-hydride", "nickel-metal-hydride"},
};

Result<void> read_chemistry(const YamlNode& node, Battery& battery) {
  return schema::store(schema::read_choice(node, "chemistry", kChemistries), battery.chemistry);
}

constexpr Field<Battery> kBatteryFields[] = {
    {"capacity", kRequired, quantity<&Battery::capacity, kCharge, 1'000, 100'000'000>},
    {"energy", kRequired, quantity<&Battery::energy, kEnergy, 1'000, 1'000'000'000>},
    {"voltage", kRequired,
     quantity_range<&Battery::minimum_voltage, &Battery::maximum_voltage, kVoltage, 500'000,
                    60'000'000>},
    {"chemistry", kOptional, read_chemistry},
    {"fuel-gauge", kOptional, chip<ChipRole::kFuelGauge, &Battery::fuel_gauge>},
    {"charger", kOptional, chip<ChipRole::kCharger, &Battery::charger>},
};

// Charge and energy together say what the cell's nominal voltage is, which catches most slips.
Result<void> read_battery(const YamlNode& node, Profile& profile) {
  if (Result<void> read = section<&Profile::battery, kBatteryFields>(node, profile, "battery");
      !read) {
    return read;
  }
  const Battery& battery = *profile.battery;
  const std::uint64_t nominal = std::uint64_t{battery.energy} * 1'000'000 / battery.capacity;  // µV
  if (nominal < battery.minimum_voltage || nominal > battery.maximum_voltage) {
    return fail_at(
        node.find("energy")->location,
        fmt::format("energy and capacity do not fit together: {} from {} is {:.2f} V, "
                    "but the battery's voltage is {:.2f} V to {:.2f} V",
                    format_quantity(battery.energy, kEnergy),
                    format_quantity(battery.capacity, kCharge), static_cast<double>(nominal) / 1e6,
                    battery.minimum_voltage / 1e6, battery.maximum_voltage / 1e6));
  }
  return {};
}

// Key codes of <linux/input-event-codes.h>.
constexpr Choice<Button> kButtons[] = {
    {"power", {"power", "Power", 116}},                    // KEY_POWER
    {"volume-up", {"volume-up", "Volume up", 115}},        // KEY_VOLUMEUP
    {"volume-down", {"volume-down", "Volume down", 114}},  // KEY_VOLUMEDOWN
    {"home", {"home", "Home", 102}},                       // KEY_HOME
    {"camera", {"camera", "Camera", 212}},                 // KEY_CAMERA
    {"side", {"side", "Side button", 0x244}},              // KEY_APPSELECT
};

Result<void> read_buttons(const YamlNode& node, Profile& profile) {
  if (Result<void> checked = check_sequence(node, "buttons", std::size(kButtons)); !checked) {
    return checked;
  }
  for (const YamlNode& item : node.items) {
    const Result<Button> button = schema::read_choice(item, "button", kButtons);
    if (!button) {
      return std::unexpected(button.error());
    }
    if (std::ranges::find(profile.buttons, button->name, &Button::name) != profile.buttons.end()) {
      return fail_at(item.location, fmt::format("button '{}' is given twice", button->name));
    }
    profile.buttons.push_back(*button);
  }
  return {};
}

constexpr Field<Touch> kTouchFields[] = {
    {"contacts", kRequired, count<&Touch::contacts, 1, 32>},
};

Result<void> read_touch(const YamlNode& node, Profile& profile) {
  return section<&Profile::touch, kTouchFields>(node, profile, "touch");
}

constexpr Field<Crown> kCrownFields[] = {
    {"steps", kRequired, count<&Crown::steps, 4, 1024>},
};

Result<void> read_crown(const YamlNode& node, Profile& profile) {
  return section<&Profile::crown, kCrownFields>(node, profile, "crown");
}

constexpr Field<Profile> kInputFields[] = {
    {"buttons", kOptional, read_buttons},
    {"touch", kOptional, read_touch},
    {"crown", kOptional, read_crown},
    {"keyboard-dock", kOptional, flag<&Profile::keyboard_dock>},
};

Result<void> read_input(const YamlNode& node, Profile& profile) {
  return schema::store(
      schema::read_section<Profile>(node, "input", kInputFields, std::move(profile)), profile);
}

constexpr Field<I2cBus> kBusFields[] = {
    {"clock", kRequired, quantity<&I2cBus::clock, kFrequency, 10'000, 3'400'000>},
};

Result<void> read_buses(const YamlNode& node, Profile& profile) {
  if (Result<void> checked = check_names(node, "buses", kMaximumBuses); !checked) {
    return checked;
  }
  for (const YamlNode::Entry& entry : node.entries) {
    Result<I2cBus> bus =
        schema::read_section<I2cBus>(entry.value, entry.key, kBusFields, {.name = entry.key});
    if (!bus) {
      return std::unexpected(bus.error());
    }
    profile.buses.push_back(*std::move(bus));
  }
  return {};
}

Result<void> read_sensors(const YamlNode& node, Profile& profile) {
  if (Result<void> checked = check_names(node, "sensors", kMaximumSensors); !checked) {
    return checked;
  }
  for (const YamlNode::Entry& entry : node.entries) {
    Result<Chip> sensor = read_chip(entry.value, entry.key, ChipRole::kSensor);
    if (!sensor) {
      return std::unexpected(sensor.error());
    }
    profile.sensors.push_back(*std::move(sensor));
  }
  return {};
}

constexpr Field<Gnss> kGnssFields[] = {
    {"rate", kRequired, quantity<&Gnss::rate, kFrequency, 1, 50>},
};

Result<void> read_gnss(const YamlNode& node, Profile& profile) {
  return section<&Profile::gnss, kGnssFields>(node, profile, "gnss");
}

Result<void> read_network(const YamlNode& node, Profile& profile) {
  const Result<std::string> text = schema::read_text(node, "one of: none, user, tap:NAME");
  if (!text) {
    return std::unexpected(text.error());
  }
  const Result<NetworkChoice> network = parse_network(*text);
  return network ? schema::store(network, profile.network)
                 : fail_at(node.location, network.error().message());
}

constexpr Choice<Isolation> kIsolations[] = {{"packed", Isolation::kPacked},
                                             {"isolated", Isolation::kIsolated}};

Result<void> read_isolation(const YamlNode& node, Domains& domains) {
  return schema::store(schema::read_choice(node, "isolation", kIsolations), domains.isolation);
}

Result<void> read_groups(const YamlNode& node, Domains& domains) {
  if (Result<void> checked = check_names(node, "groups", kMaximumGroups); !checked) {
    return checked;
  }
  std::map<std::string, std::string> group_of;
  for (const YamlNode::Entry& entry : node.entries) {
    if (Result<void> checked = check_sequence(entry.value, "services", kMaximumServices);
        !checked) {
      return checked;
    }
    DomainGroup group{.name = entry.key, .services = {}};
    for (const YamlNode& item : entry.value.items) {
      const Result<std::string> service = schema::read_identifier(item);
      if (!service) {
        return std::unexpected(service.error());
      }
      const auto [earlier, is_new] = group_of.emplace(*service, entry.key);
      if (!is_new) {
        return fail_at(item.location, fmt::format("service '{}' is already in group '{}'", *service,
                                                  earlier->second));
      }
      group.services.push_back(*service);
    }
    domains.groups.push_back(std::move(group));
  }
  return {};
}

constexpr Field<Domains> kDomainFields[] = {
    {"isolation", kRequired, read_isolation},
    {"groups", kOptional, read_groups},
};

Result<void> read_domains(const YamlNode& node, Profile& profile) {
  return schema::store(schema::read_section<Domains>(node, "domains", kDomainFields),
                       profile.domains);
}

Result<void> read_memory(const YamlNode& node, Profile& profile) {
  const Result<std::uint64_t> memory =
      schema::read_quantity(node, kMemorySize, kMinimumMemory, kMaximumMemory);
  if (memory && *memory % kMemoryStep != 0) {
    return fail_at(node.location, fmt::format("'{}' is not a multiple of {}", node.scalar,
                                              format_quantity(kMemoryStep, kMemorySize)));
  }
  return schema::store(memory, profile.memory);
}

constexpr Field<Profile> kProfileFields[] = {
    {"model", kRequired, text<&Profile::model>},
    {"abstract", kOptional, flag<&Profile::abstract>},
    {"cpus", kRequired, count<&Profile::cpus, kMinimumCpus, kMaximumCpus>},
    {"memory", kRequired, read_memory},
    {"screen", kOptional, read_screen},
    {"battery", kOptional, read_battery},
    {"input", kOptional, read_input},
    {"buses", kOptional, read_buses},
    {"sensors", kOptional, read_sensors},
    {"haptics", kOptional, chip<ChipRole::kHaptics, &Profile::haptics>},
    {"gnss", kOptional, read_gnss},
    {"network", kOptional, read_network},
    {"domains", kOptional, read_domains},
};

// A chip in the document and where it is placed, for errors about both.
struct PlacedChip {
  std::string_view name;
  const YamlNode* node;
};

std::vector<PlacedChip> placed_chips(const YamlNode& document) {
  std::vector<PlacedChip> placed;
  const auto add = [&placed](const YamlNode* parent, std::string_view key) {
    if (const YamlNode* node = parent == nullptr ? nullptr : parent->find(key)) {
      placed.push_back({key, node});
    }
  };
  if (const YamlNode* sensors = document.find("sensors")) {
    for (const YamlNode::Entry& entry : sensors->entries) {
      placed.push_back({entry.key, &entry.value});
    }
  }
  add(document.find("battery"), "fuel-gauge");
  add(document.find("battery"), "charger");
  add(&document, "haptics");
  return placed;
}

// Every chip is on a bus that exists, and no two at one address of it.
Result<void> check_chips(const YamlNode& document, const Profile& profile) {
  std::vector<std::string_view> buses;
  for (const I2cBus& bus : profile.buses) {
    buses.push_back(bus.name);
  }
  std::map<std::pair<std::string, std::uint64_t>, PlacedChip> taken;
  for (const PlacedChip& chip : placed_chips(document)) {
    const YamlNode& bus = *chip.node->find("bus");
    const YamlNode& address = *chip.node->find("address");
    if (std::ranges::find(buses, bus.scalar) == buses.end()) {
      return fail_at(bus.location, schema::describe_unknown("bus", bus.scalar, buses));
    }
    const std::uint64_t number = parse_integer(address.scalar).value_or(0);
    const auto [earlier, is_new] = taken.emplace(std::pair{bus.scalar, number}, chip);
    if (!is_new) {
      return fail_at(
          address.location,
          fmt::format("address {:#04x} on bus '{}' is used twice: by '{}' ({}) and by "
                      "'{}'",
                      number, bus.scalar, earlier->second.name,
                      earlier->second.node->find("address")->location.to_string(), chip.name));
    }
  }
  return {};
}

}  // namespace

Result<Profile> read_profile(const YamlNode& document) {
  Result<Profile> profile = schema::read_section<Profile>(document, "the profile", kProfileFields);
  if (!profile) {
    return profile;
  }
  if (profile->touch && !profile->screen) {
    return fail_at(document.find("input")->find("touch")->location,
                   "a touch panel needs a screen, but the profile has none");
  }
  if (Result<void> checked = check_chips(document, *profile); !checked) {
    return std::unexpected(checked.error());
  }
  return profile;
}

}  // namespace ensemble::device
