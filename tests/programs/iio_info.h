#pragma once

#include <map>
#include <string>

namespace ensemble::programs {

// What Debian's iio_info printed: attributes by device, channel ("" for the device's own) and name.
class IioInfo {
 public:
  explicit IioInfo(const std::string& output);

  // Fails the test, and is empty or NaN, where the program told of no such attribute or no number.
  std::string text(const std::string& device, const std::string& channel,
                   const std::string& attribute) const;
  double number(const std::string& device, const std::string& channel,
                const std::string& attribute) const;

  // That (raw + offset) × scale, or what Linux computes, of a channel is `value`: to a step, or to
  // `resolution` where it has no scale, and what the scale's last digit leaves open.
  void expect(const std::string& device, const std::string& channel, double value,
              double resolution = 0) const;
  // The same of "KIND_x", "KIND_y" and "KIND_z".
  void expect_axes(const std::string& device, const std::string& kind, double x, double y,
                   double z) const;

 private:
  using Attributes = std::map<std::string, std::string>;

  const Attributes* channel(const std::string& device, const std::string& channel) const;

  std::string output_;
  std::map<std::string, std::map<std::string, Attributes>> devices_;
};

}  // namespace ensemble::programs
