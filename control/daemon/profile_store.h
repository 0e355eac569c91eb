#pragma once

#include <string>

#include "control/daemon/api_error.h"
#include "control/daemon/state_store.h"
#include "control/ensemble/v1/profiles.pb.h"
#include "device-model/profile.h"

namespace ensemble::control {

// Profiles by name: the daemon's own, kept in the state store, and behind them the installed ones.
// Belongs to the event loop's thread.
class ProfileStore {
 public:
  explicit ProfileStore(StateStore& store) : store_(store) {}

  // "profiles/phone" or "phone".
  static std::string id_of(const std::string& name);

  ApiResult<device::Profile> load(const std::string& name) const;

  ApiResult<v1::ListProfilesResponse> list(const v1::ListProfilesRequest& request) const;
  ApiResult<v1::Profile> get(const std::string& name) const;
  ApiResult<v1::ValidateProfileResponse> validate(const v1::ValidateProfileRequest& request) const;
  ApiResult<v1::Profile> put(const v1::PutProfileRequest& request);
  // Whether devices use it is the caller's to know.
  ApiResult<void> remove(const std::string& name);

 private:
  ApiResult<std::string> own_text(const std::string& id) const;
  Result<device::Profile> parse(const std::string& id, const std::string& text) const;

  StateStore& store_;
};

}  // namespace ensemble::control
