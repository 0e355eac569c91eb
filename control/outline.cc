#include "control/outline.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>

namespace ensemble::control {
namespace {

using Json = nlohmann::ordered_json;

bool is_scalar_list(const Json& json) {
  if (!json.is_array()) {
    return false;
  }
  for (const Json& element : json) {
    if (element.is_structured()) {
      return false;
    }
  }
  return true;
}

std::string scalar_text(const Json& json) {
  return json.is_string() ? json.get<std::string>() : json.dump();
}

std::string list_text(const Json& list) {
  std::string text;
  for (const Json& element : list) {
    text += (text.empty() ? "" : ", ") + scalar_text(element);
  }
  return text.empty() ? "none" : text;
}

void append_outline(std::string& text, const Json& json, std::size_t indent) {
  for (const auto& [key, value] : json.items()) {
    text += fmt::format("{:{}}{}", "", indent, json.is_array() ? "-" : key + ":");
    if (is_scalar_list(value)) {
      text += fmt::format(" {}\n", list_text(value));
    } else if (value.is_structured()) {
      text += "\n";
      append_outline(text, value, indent + 2);
    } else {
      text += fmt::format(" {}\n", scalar_text(value));
    }
  }
}

}  // namespace

std::string to_outline(const Json& json) {
  std::string text;
  append_outline(text, json, 0);
  return text;
}

}  // namespace ensemble::control
