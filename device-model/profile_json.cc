#include "device-model/profile_json.h"

namespace ensemble::device {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const Screen& screen) {
  return {{"width_px", screen.width},
          {"height_px", screen.height},
          {"width_mm", screen.width_millimetres()},
          {"height_mm", screen.height_millimetres()},
          {"shape", to_string(screen.shape)},
          {"density_ppi", screen.density},
          {"refresh_hz", {{"min", screen.minimum_refresh}, {"max", screen.maximum_refresh}}}};
}

Json to_json(const Chip& chip) {
  Json json = {{"name", chip.name},
               {"chip", chip.model->name},
               {"compatible", chip.model->compatible},
               {"bus", chip.bus},
               {"address", chip.address}};
  if (!chip.model->measures.empty()) {
    json["measures"] = chip.model->measures;
  }
  return json;
}

Json to_json(const Battery& battery) {
  Json json = {{"capacity_mah", battery.capacity / 1e3},
               {"energy_mwh", battery.energy / 1e3},
               {"voltage_mv",
                {{"min", battery.minimum_voltage / 1e3}, {"max", battery.maximum_voltage / 1e3}}}};
  if (!battery.chemistry.empty()) {
    json["chemistry"] = battery.chemistry;
  }
  if (battery.fuel_gauge) {
    json["fuel_gauge"] = to_json(*battery.fuel_gauge);
  }
  if (battery.charger) {
    json["charger"] = to_json(*battery.charger);
  }
  return json;
}

Json input_to_json(const Profile& profile) {
  Json json = {{"buttons", Json::array()}};
  for (const Button& button : profile.buttons) {
    json["buttons"].push_back({{"name", button.name}, {"key_code", button.key_code}});
  }
  if (profile.touch) {
    json["touch"] = {{"contacts", profile.touch->contacts}};
  }
  if (profile.crown) {
    json["crown"] = {{"steps", profile.crown->steps}};
  }
  json["keyboard_dock"] = profile.keyboard_dock;
  return json;
}

Json to_json(const Domains& domains) {
  Json json = {{"isolation", to_string(domains.isolation)}, {"groups", Json::object()}};
  for (const DomainGroup& group : domains.groups) {
    json["groups"][group.name] = group.services;
  }
  return json;
}

}  // namespace

Json to_json(const Profile& profile) {
  Json json = {{"name", profile.name},
               {"path", profile.path},
               {"model", profile.model},
               {"cpus", profile.cpus},
               {"memory_mib", profile.memory >> 20}};
  if (profile.screen) {
    json["screen"] = to_json(*profile.screen);
  }
  if (profile.battery) {
    json["battery"] = to_json(*profile.battery);
  }
  json["input"] = input_to_json(profile);
  json["buses"] = Json::object();
  for (const I2cBus& bus : profile.buses) {
    json["buses"][bus.name] = {{"clock_hz", bus.clock}};
  }
  json["sensors"] = Json::array();
  for (const Chip& sensor : profile.sensors) {
    json["sensors"].push_back(to_json(sensor));
  }
  if (profile.haptics) {
    json["haptics"] = to_json(*profile.haptics);
  }
  if (profile.gnss) {
    json["gnss"] = {{"rate_hz", profile.gnss->rate}};
  }
  json["network"] = to_string(profile.network);
  json["domains"] = to_json(profile.domains);
  return json;
}

}  // namespace ensemble::device
