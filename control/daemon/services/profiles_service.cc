#include <memory>

#include "control/daemon/services/calls.h"
#include "control/daemon/services/services.h"
#include "control/ensemble/v1/profiles.grpc.pb.h"

namespace ensemble::control {
namespace {

using Context = grpc::CallbackServerContext;
using Unary = grpc::ServerUnaryReactor;

class ProfilesService final : public v1::Profiles::CallbackService {
 public:
  explicit ProfilesService(ServiceContext& context) : context_(context) {}

  Unary* ListProfiles(Context* call, const v1::ListProfilesRequest* request,
                      v1::ListProfilesResponse* response) override {
    return serve(context_.loop, call, response,
                 [this, request] { return context_.profiles.list(*request); });
  }

  Unary* GetProfile(Context* call, const v1::GetProfileRequest* request,
                    v1::Profile* response) override {
    return serve(context_.loop, call, response,
                 [this, request] { return context_.profiles.get(request->name()); });
  }

  Unary* ValidateProfile(Context* call, const v1::ValidateProfileRequest* request,
                         v1::ValidateProfileResponse* response) override {
    return serve(context_.loop, call, response,
                 [this, request] { return context_.profiles.validate(*request); });
  }

  Unary* PutProfile(Context* call, const v1::PutProfileRequest* request,
                    v1::Profile* response) override {
    return serve(context_.loop, call, response,
                 [this, request] { return context_.profiles.put(*request); });
  }

  Unary* DeleteProfile(Context* call, const v1::DeleteProfileRequest* request,
                       v1::DeleteProfileResponse* response) override {
    return serve(context_.loop, call, response,
                 [this, request]() -> ApiResult<v1::DeleteProfileResponse> {
                   const std::string id = ProfileStore::id_of(request->name());
                   if (context_.devices.uses_profile(id)) {
                     return failed_precondition(
                         "PROFILE_IN_USE",
                         fmt::format("devices use the profile '{}'; delete them first", id));
                   }
                   if (auto removed = context_.profiles.remove(id); !removed) {
                     return std::unexpected(removed.error());
                   }
                   return v1::DeleteProfileResponse();
                 });
  }

 private:
  ServiceContext& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_profiles_service(ServiceContext& context) {
  return std::make_unique<ProfilesService>(context);
}

}  // namespace ensemble::control
