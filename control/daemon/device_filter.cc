#include "control/daemon/device_filter.h"

#include <algorithm>
#include <string_view>

#include "control/daemon/device_record.h"

namespace ensemble::control {
namespace {

constexpr std::size_t kLongestFilter = 16384;
constexpr const char* kState = "state";

bool is_state(const std::string& name) {
  v1::DeviceState state{};
  return v1::DeviceState_Parse("DEVICE_STATE_" + name, &state);
}

}  // namespace

ApiResult<DeviceFilter> DeviceFilter::parse(const std::string& text) {
  DeviceFilter filter;
  if (text.size() > kLongestFilter) {
    return invalid_argument("filter", text, "at most 16384 bytes");
  }
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    const std::size_t equals = word.find('=');
    Term term{.key = word, .kind = Term::Kind::kPresent, .value = {}};
    if (equals != std::string::npos) {
      const bool unequal = equals > 0 && word[equals - 1] == '!';
      term = {.key = word.substr(0, equals - (unequal ? 1 : 0)),
              .kind = unequal ? Term::Kind::kNotEqual : Term::Kind::kEqual,
              .value = word.substr(equals + 1)};
    }
    google::protobuf::Map<std::string, std::string> label;
    label[term.key] = term.value;
    if (!check_labels(label)) {
      return invalid_argument("filter", word, "KEY, KEY=VALUE or KEY!=VALUE, separated by commas");
    }
    if (term.key == kState && term.kind != Term::Kind::kPresent && !is_state(term.value)) {
      return invalid_argument("filter", word, "a state such as RUNNING, STOPPED or FAILED");
    }
    filter.terms_.push_back(std::move(term));
    begin = end + 1;
  }
  return filter;
}

bool DeviceFilter::matches(const v1::Device& device) const {
  return std::ranges::all_of(terms_, [&](const Term& term) {
    const auto found = device.labels().find(term.key);
    const bool is_about_state = term.key == kState && term.kind != Term::Kind::kPresent;
    const bool present = is_about_state || found != device.labels().end();
    const std::string value = is_about_state ? state_name(device.status().state())
                              : present      ? found->second
                                             : "";
    switch (term.kind) {
      case Term::Kind::kPresent:
        return present;
      case Term::Kind::kEqual:
        return present && value == term.value;
      case Term::Kind::kNotEqual:
        break;
    }
    return !present || value != term.value;
  });
}

}  // namespace ensemble::control
