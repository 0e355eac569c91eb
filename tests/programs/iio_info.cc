#include "tests/programs/iio_info.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <regex>
#include <sstream>

namespace ensemble::programs {

IioInfo::IioInfo(const std::string& output) : output_(output) {
  static const std::regex kDevice("\t(?:iio:device|trigger)\\d+: (\\S+).*");
  static const std::regex kChannel("\t\t\t(\\w+): .*");
  static const std::regex kAttribute("\t\t\t?\t?attr +\\d+: (\\S+) value: (.*)");
  std::istringstream lines(output);
  std::string device;
  std::string channel;
  std::smatch match;
  for (std::string line; std::getline(lines, line);) {
    if (std::regex_match(line, match, kDevice)) {
      device = match[1];
      channel.clear();
    } else if (std::regex_match(line, match, kAttribute)) {
      const std::string value = match[2];
      devices_[device][channel][match[1]] = value.substr(0, value.find_last_not_of(' ') + 1);
    } else if (std::regex_match(line, match, kChannel)) {
      channel = match[1];
    } else if (line.starts_with("\t\t") && line.size() > 2 && line[2] != '\t') {
      channel.clear();
    }
  }
}

const IioInfo::Attributes* IioInfo::channel(const std::string& device,
                                            const std::string& channel) const {
  const auto found = devices_.find(device);
  if (found == devices_.end()) {
    return nullptr;
  }
  const auto attributes = found->second.find(channel);
  return attributes == found->second.end() ? nullptr : &attributes->second;
}

std::string IioInfo::text(const std::string& device, const std::string& channel,
                          const std::string& attribute) const {
  const Attributes* const attributes = this->channel(device, channel);
  if (attributes == nullptr || !attributes->contains(attribute)) {
    ADD_FAILURE() << "no " << attribute << " of " << device << "'s " << channel << " in:\n"
                  << output_;
    return {};
  }
  return attributes->at(attribute);
}

double IioInfo::number(const std::string& device, const std::string& channel,
                       const std::string& attribute) const {
  const std::string found = text(device, channel, attribute);
  char* end = nullptr;
  const double value = std::strtod(found.c_str(), &end);
  if (found.empty() || *end != '\0') {
    ADD_FAILURE() << attribute << " of " << device << "'s " << channel << " is '" << found << "'";
    return std::numeric_limits<double>::quiet_NaN();
  }
  return value;
}

void IioInfo::expect(const std::string& device, const std::string& channel, double value,
                     double resolution) const {
  const Attributes* const attributes = this->channel(device, channel);
  if (attributes != nullptr && attributes->contains("input")) {
    EXPECT_NEAR(number(device, channel, "input"), value, resolution) << device << " " << channel;
    return;
  }
  constexpr double kScaleError = 1e-3;
  const double scale = number(device, channel, "scale");
  const double offset = attributes != nullptr && attributes->contains("offset")
                            ? number(device, channel, "offset")
                            : 0;
  EXPECT_NEAR((number(device, channel, "raw") + offset) * scale, value,
              scale + std::abs(value) * kScaleError)
      << device << " " << channel;
}

void IioInfo::expect_axes(const std::string& device, const std::string& kind, double x, double y,
                          double z) const {
  expect(device, kind + "_x", x);
  expect(device, kind + "_y", y);
  expect(device, kind + "_z", z);
}

}  // namespace ensemble::programs
