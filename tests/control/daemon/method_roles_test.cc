#include "control/daemon/method_roles.h"

#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

namespace ensemble::control {
namespace {

TEST(MethodRoles, EveryMethodOfTheApiHasARole) {
  google::protobuf::FileDescriptorSet files;
  std::ifstream input(ENSEMBLE_API_DESCRIPTORS, std::ios::binary);
  ASSERT_TRUE(files.ParseFromIstream(&input));
  int methods = 0;
  for (const auto& file : files.file()) {
    for (const auto& service : file.service()) {
      for (const auto& method : service.method()) {
        const std::string path = "/" + file.package() + "." + service.name() + "/" + method.name();
        EXPECT_TRUE(role_in_table(path).has_value()) << path << " has no role in method_roles.cc";
        ++methods;
      }
    }
  }
  EXPECT_GT(methods, 20);
}

TEST(MethodRoles, WhatIsNotInTheTableTakesTheHighestRole) {
  EXPECT_FALSE(role_in_table("/ensemble.v1.Devices/Explode").has_value());
  EXPECT_EQ(role_for_method("/ensemble.v1.Devices/Explode"), Role::kAdmin);
  EXPECT_EQ(role_for_method(""), Role::kAdmin);
  EXPECT_EQ(role_for_method("/ensemble.v1.Devices/getDevice"), Role::kAdmin);
}

TEST(MethodRoles, LookingTakesLessThanChanging) {
  EXPECT_EQ(role_for_method("/ensemble.v1.Devices/ListDevices"), Role::kViewer);
  EXPECT_EQ(role_for_method("/ensemble.v1.Devices/StartDevice"), Role::kOperator);
  EXPECT_EQ(role_for_method("/ensemble.v1.Devices/DeleteDevice"), Role::kAdmin);
}

}  // namespace
}  // namespace ensemble::control
