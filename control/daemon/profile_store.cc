#include "control/daemon/profile_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "control/daemon/device_record.h"
#include "control/daemon/page.h"
#include "control/small_file.h"
#include "device-model/profile_json.h"
#include "device-model/profile_loader.h"
#include "device-model/yaml_tree.h"

namespace ensemble::control {
namespace {

constexpr std::string_view kPrefix = "profiles/";
constexpr std::size_t kLongestText = device::kMaximumYamlBytes;
constexpr std::size_t kMostProfiles = 1000;

std::string resolved(const device::Profile& profile) {
  return device::to_json(profile).dump(2, ' ', false,
                                       nlohmann::ordered_json::error_handler_t::replace);
}

std::unexpected<ApiError> broken(const std::string& id, const Error& error) {
  return std::unexpected(
      ApiError(grpc::FAILED_PRECONDITION, "PROFILE_BROKEN",
               fmt::format("the profile '{}' cannot be used: {}", id, error.message())));
}

std::unexpected<ApiError> no_profile(const std::string& name) {
  return std::unexpected(
      ApiError(grpc::NOT_FOUND, "PROFILE_NOT_FOUND",
               fmt::format("there is no profile '{}'; `ensemble profile list` names them", name))
          .about("profile", name, "the name of a profile"));
}

}  // namespace

std::string ProfileStore::id_of(const std::string& name) {
  return name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
}

ApiResult<std::string> ProfileStore::own_text(const std::string& id) const {
  auto own = store_.profile_text(id);
  if (!own) {
    return internal(own.error());
  }
  return own->value_or("");
}

Result<device::Profile> ProfileStore::parse(const std::string& id, const std::string& text) const {
  return device::parse_foreign_profile(
      text, id, [this](const std::string& name) -> std::optional<std::string> {
        auto own = store_.profile_text(name);
        return own ? std::move(*own) : std::nullopt;
      });
}

ApiResult<device::Profile> ProfileStore::load(const std::string& name) const {
  const std::string id = id_of(name);
  if (!is_device_id(id)) {
    return no_profile(name);  // Above all no path.
  }
  const auto text = own_text(id);
  if (!text) {
    return std::unexpected(text.error());
  }
  if (text->empty() && !device::find_profile(id)) {
    return no_profile(name);
  }
  auto profile = text->empty() ? device::load_profile(id) : parse(id, *text);
  if (!profile) {
    return broken(id, profile.error());
  }
  return std::move(*profile);
}

ApiResult<v1::ListProfilesResponse> ProfileStore::list(
    const v1::ListProfilesRequest& request) const {
  const auto size = page_size(request.page_size());
  const auto start = parse_page_token(request.page_token(), {});
  auto own = store_.profile_ids();
  if (!size || !start || !own) {
    return !size    ? std::unexpected(size.error())
           : !start ? std::unexpected(start.error())
                    : internal(own.error());
  }
  std::map<std::string, bool> installed;
  for (const device::ProfileEntry& entry : device::list_profiles()) {
    installed[entry.name] = true;
  }
  for (const std::string& id : *own) {
    installed[id] = false;
  }
  v1::ListProfilesResponse response;
  for (auto at = installed.upper_bound(start->key); at != installed.end(); ++at) {
    if (response.profiles_size() == static_cast<int>(*size)) {
      const std::string last = id_of(response.profiles(response.profiles_size() - 1).name());
      response.set_next_page_token(to_page_token({.time = 0, .key = last}, {}));
      break;
    }
    v1::Profile& profile = *response.add_profiles();
    profile.set_name(std::string(kPrefix) + at->first);
    profile.set_installed(at->second);
    if (const auto loaded = load(at->first)) {
      profile.set_description(loaded->model);
    }
  }
  return response;
}

ApiResult<v1::Profile> ProfileStore::get(const std::string& name) const {
  const auto loaded = load(name);
  if (!loaded) {
    return std::unexpected(loaded.error());
  }
  const std::string id = id_of(name);
  auto text = own_text(id);
  if (!text) {
    return std::unexpected(text.error());
  }
  v1::Profile profile;
  profile.set_installed(text->empty());
  if (text->empty()) {
    auto file = read_small_file(loaded->path);
    if (!file) {
      return internal(file.error());
    }
    *text = std::move(*file);
  }
  profile.set_name(std::string(kPrefix) + id);
  profile.set_description(loaded->model);
  profile.set_text(std::move(*text));
  profile.set_resolved_json(resolved(*loaded));
  return profile;
}

ApiResult<v1::ValidateProfileResponse> ProfileStore::validate(
    const v1::ValidateProfileRequest& request) const {
  if (request.text().size() > kLongestText) {
    return invalid_argument("text", fmt::format("{} bytes", request.text().size()),
                            fmt::format("at most {} bytes", kLongestText));
  }
  const std::string id = request.profile_id().empty() ? "profile" : request.profile_id();
  if (!is_device_id(id)) {
    return invalid_argument("profile_id", id, "letters a-z, digits and '-'");
  }
  const auto profile = parse(id, request.text());
  v1::ValidateProfileResponse response;
  if (profile) {
    response.set_resolved_json(resolved(*profile));
  } else {
    response.add_problems()->set_message(profile.error().message());
  }
  return response;
}

ApiResult<v1::Profile> ProfileStore::put(const v1::PutProfileRequest& request) {
  const std::string id = id_of(request.name());
  if (!is_device_id(id)) {
    return invalid_argument("name", request.name(),
                            "\"profiles/ID\", ID being letters a-z, digits and '-'");
  }
  v1::ValidateProfileRequest check;
  check.set_profile_id(id);
  check.set_text(request.text());
  const auto checked = validate(check);
  if (!checked) {
    return std::unexpected(checked.error());
  }
  if (checked->problems_size() > 0) {
    return std::unexpected(
        ApiError(grpc::INVALID_ARGUMENT, "PROFILE_BROKEN", checked->problems(0).message())
            .about("text", request.text(), "a valid profile"));
  }
  const auto own = store_.profile_ids();
  if (!own) {
    return internal(own.error());
  }
  if (own->size() >= kMostProfiles && std::ranges::find(*own, id) == own->end()) {
    return exhausted(
        "TOO_MANY_PROFILES",
        fmt::format("the daemon keeps {} profiles, as many as it may; delete one", own->size()));
  }
  if (auto stored = store_.put_profile(id, request.text()); !stored) {
    return internal(stored.error());
  }
  return get(id);
}

ApiResult<void> ProfileStore::remove(const std::string& name) {
  const std::string id = id_of(name);
  const auto text = own_text(id);
  if (!text) {
    return std::unexpected(text.error());
  }
  if (text->empty() && device::find_profile(id)) {
    return failed_precondition("PROFILE_INSTALLED",
                               fmt::format("the profile '{}' came with Ensemble and cannot be "
                                           "deleted",
                                           id));
  }
  if (text->empty()) {
    return no_profile(name);
  }
  if (auto removed = store_.remove_profile(id); !removed) {
    return internal(removed.error());
  }
  return {};
}

}  // namespace ensemble::control
