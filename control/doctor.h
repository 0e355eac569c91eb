#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "control/installation.h"

namespace ensemble::control {

// One thing that `ensemble doctor` looked at.
struct DoctorCheck {
  enum class Verdict { kGood, kWarning, kBad };

  std::string name;
  Verdict verdict = Verdict::kGood;
  std::string finding;  // A sentence.
  std::string mend;     // The command that mends it; empty where nothing is to be mended.
};

// What this host can do for Ensemble.
struct Diagnosis {
  std::vector<DoctorCheck> checks;
  std::string kvm_module;  // Empty when no KVM can be used.
  std::string ring0;       // "native" or "interpreted"; empty when it was not measured.
  double ring0_ns_per_instruction = 0;
  double ring3_ns_per_instruction = 0;

  // Whether devices can run: no verdict is bad.
  bool ready() const;
};

// Examines this host. Runs a small VM for some milliseconds.
Diagnosis diagnose(const InstallationFiles& files, const std::string& kvm_device);

std::string to_text(const Diagnosis& diagnosis);
std::string to_json(const Diagnosis& diagnosis);

}  // namespace ensemble::control
