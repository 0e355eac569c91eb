#include "control/doctor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <string_view>

#include "control/control_groups.h"
#include "control/libvirt_program.h"
#include "control/small_file.h"
#include "vmm/kvm.h"
#include "vmm/kvm_kind.h"

namespace ensemble::control {
namespace {

using Verdict = DoctorCheck::Verdict;

// A small device, and as much again for everything else.
constexpr std::uint64_t kComfortableMemoryMib = 512;

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::kGood:
      return "good";
    case Verdict::kWarning:
      return "warning";
    case Verdict::kBad:
      break;
  }
  return "bad";
}

// The command that most likely makes a missing KVM appear on this host's processor.
std::string load_kvm_command() {
  const std::string processor = read_small_file("/proc/cpuinfo").value_or("");
  if (processor.find(" svm") != std::string::npos) {
    return "sudo modprobe kvm_amd";
  }
  if (processor.find(" vmx") != std::string::npos) {
    return "sudo modprobe kvm_intel";
  }
  return "enable virtualisation (VT-x or AMD-V) in the firmware or, in a virtual machine, ask for "
         "nested virtualisation or a kernel with kvm_pvm";
}

std::string mend_kvm(const std::string& device, int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return load_kvm_command();
    case EACCES:
    case EPERM:
      return fmt::format(
          "sudo usermod -aG kvm $USER, then log in again; or: sudo setfacl -m "
          "u:$USER:rw {}",
          device);
    case ENOTTY:  // A file that is no KVM device.
      return "name KVM's device file in ENSEMBLE_KVM_DEVICE, or unset it to use /dev/kvm";
    default:
      return "sudo apt-get install linux-image-amd64, then reboot";
  }
}

void check_processor(Diagnosis& diagnosis) {
  utsname host{};
  ::uname(&host);
  const std::string_view machine = host.machine;
  if (machine == "x86_64") {
    diagnosis.checks.push_back(
        {"processor", Verdict::kGood, fmt::format("{}, Linux {}", machine, host.release), ""});
  } else {
    diagnosis.checks.push_back({"processor", Verdict::kBad,
                                fmt::format("{} is not supported", machine),
                                "use a host with an x86-64 processor"});
  }
}

void check_kvm(Diagnosis& diagnosis, const std::string& device) {
  const auto kvm = vmm::Kvm::open(device);
  if (!kvm) {
    diagnosis.checks.push_back({"kvm", Verdict::kBad, kvm.error().message(),
                                mend_kvm(device, kvm.error().error_number())});
    return;
  }
  diagnosis.kvm_module = vmm::kvm_module_name();
  diagnosis.checks.push_back(
      {"kvm", Verdict::kGood,
       fmt::format("{} can be used; its module is {}", device, diagnosis.kvm_module), ""});
}

void check_ring0(Diagnosis& diagnosis, const std::string& device) {
  if (diagnosis.kvm_module.empty()) {
    return;
  }
  const auto measured = vmm::measure_ring0(device);
  if (!measured) {
    diagnosis.checks.push_back(
        {"ring 0", Verdict::kBad, "a test program did not run: " + measured.error().message(), ""});
    return;
  }
  const bool native = measured->ring0 == vmm::Ring0::kNative;
  diagnosis.ring0 = native ? "native" : "interpreted";
  diagnosis.ring0_ns_per_instruction = measured->ring0_ns_per_instruction;
  diagnosis.ring3_ns_per_instruction = measured->ring3_ns_per_instruction;
  diagnosis.checks.push_back(
      {"ring 0", Verdict::kGood,
       fmt::format("{}: {:.2f} ns an instruction in ring 0, {:.2f} ns in ring 3",
                   native ? "runs natively" : "is interpreted by KVM",
                   measured->ring0_ns_per_instruction, measured->ring3_ns_per_instruction),
       ""});
}

// The other engine. Where it can run devices, a missing KVM only makes them slow.
void check_qemu(Diagnosis& diagnosis, const InstallationFiles& files) {
  const auto kvm = std::ranges::find(diagnosis.checks, "kvm", &DoctorCheck::name);
  const bool has_kvm = kvm->verdict == Verdict::kGood;
  const auto found = check_libvirt(files.libvirt_executable());
  if (!found) {
    diagnosis.checks.push_back({"qemu", has_kvm ? Verdict::kWarning : Verdict::kBad,
                                found.error().message(),
                                "sudo apt-get install libvirt-daemon-driver-qemu qemu-system-x86"});
    return;
  }
  if (!has_kvm) {
    kvm->verdict = Verdict::kWarning;
    kvm->finding += "; devices run on QEMU, which is slow";
  }
  diagnosis.checks.push_back({"qemu", Verdict::kGood, *found, ""});
}

void check_memory(Diagnosis& diagnosis) {
  const std::string text = read_small_file("/proc/meminfo").value_or("");
  constexpr std::string_view kKey = "MemAvailable:";
  const std::size_t at = text.find(kKey);
  const std::uint64_t mib = at == std::string::npos
                                ? 0
                                : std::strtoull(text.c_str() + at + kKey.size(), nullptr, 10) >> 10;
  const bool enough = mib >= kComfortableMemoryMib;
  diagnosis.checks.push_back({"memory", enough ? Verdict::kGood : Verdict::kWarning,
                              fmt::format("{} MiB available", mib),
                              enough ? "" : "end other programs, or give devices less: --memory"});
}

// Whether a daemon could hold devices to limits. Where systemd starts it, it has a group of its
// own; here, only whether this process's could be one.
void check_limits(Diagnosis& diagnosis) {
  const auto group = own_group();
  const auto controllers = group ? usable_controllers(*group)
                                 : Result<std::vector<std::string>>(std::unexpected(group.error()));
  if (controllers) {
    diagnosis.checks.push_back({"limits", Verdict::kGood,
                                fmt::format("the daemon holds devices to limits of {} in '{}'",
                                            fmt::join(*controllers, ", "), *group),
                                ""});
    return;
  }
  const int number = controllers.error().error_number();
  const bool is_forbidden = number == EACCES || number == EPERM || number == EROFS;
  diagnosis.checks.push_back(
      {"limits", Verdict::kWarning,
       "the daemon cannot hold devices to limits: " + controllers.error().message(),
       is_forbidden ? "systemctl --user start ensembled"
                    : "start the host with systemd.unified_cgroup_hierarchy=1"});
}

void check_guest_file(Diagnosis& diagnosis, std::string name, const Result<std::string>& file,
                      const std::string& mend) {
  if (!file) {
    diagnosis.checks.push_back({std::move(name), Verdict::kBad, file.error().message(), mend});
  } else if (::access(file->c_str(), R_OK) != 0) {
    diagnosis.checks.push_back({std::move(name), Verdict::kBad,
                                Error::from_errno("cannot read '" + *file + "'", errno).message(),
                                "chmod a+r '" + *file + "'"});
  } else {
    diagnosis.checks.push_back({std::move(name), Verdict::kGood, *file, ""});
  }
}

void check_files(Diagnosis& diagnosis, const InstallationFiles& files) {
  const std::string mend = "./scripts/run, or cmake --build in the build tree";
  check_guest_file(diagnosis, "kernel", files.kernel(), mend);
  check_guest_file(diagnosis, "boot package", files.boot_package(), mend);
  check_guest_file(diagnosis, "boot package for disks", files.disk_boot_package(), mend);
  check_guest_file(diagnosis, "boot package for agents", files.agent_boot_package(), mend);
  check_guest_file(diagnosis, "root file system", files.root_file_system(), mend);
  const std::string process = files.vmm_executable();
  const bool executable = ::access(process.c_str(), X_OK) == 0;
  diagnosis.checks.push_back(
      {"ensemble-vmm", executable ? Verdict::kGood : Verdict::kBad,
       executable ? process
                  : Error::from_errno("cannot execute '" + process + "'", errno).message(),
       executable ? "" : mend});
}

}  // namespace

bool Diagnosis::ready() const {
  return std::ranges::none_of(
      checks, [](const DoctorCheck& check) { return check.verdict == Verdict::kBad; });
}

Diagnosis diagnose(const InstallationFiles& files, const std::string& kvm_device) {
  Diagnosis diagnosis;
  check_processor(diagnosis);
  check_kvm(diagnosis, kvm_device);
  check_ring0(diagnosis, kvm_device);
  check_qemu(diagnosis, files);
  check_memory(diagnosis);
  check_limits(diagnosis);
  check_files(diagnosis, files);
  return diagnosis;
}

std::string to_text(const Diagnosis& diagnosis) {
  std::string text;
  for (const DoctorCheck& check : diagnosis.checks) {
    text += fmt::format("{:<8} {:<17} {}\n", to_string(check.verdict), check.name, check.finding);
    if (!check.mend.empty()) {
      text += fmt::format("{:<8} {:<17} mend: {}\n", "", "", check.mend);
    }
  }
  text += diagnosis.ready() ? "This host can run Ensemble.\n"
                            : "This host cannot run Ensemble yet; mend what is bad above.\n";
  return text;
}

std::string to_json(const Diagnosis& diagnosis) {
  using Json = nlohmann::ordered_json;
  Json checks = Json::array();
  for (const DoctorCheck& check : diagnosis.checks) {
    checks.push_back({{"name", check.name},
                      {"verdict", to_string(check.verdict)},
                      {"finding", check.finding},
                      {"mend", check.mend.empty() ? Json(nullptr) : Json(check.mend)}});
  }
  Json kvm = nullptr;
  if (!diagnosis.kvm_module.empty()) {
    kvm = {{"module", diagnosis.kvm_module}, {"ring0", nullptr}};
    if (!diagnosis.ring0.empty()) {
      kvm["ring0"] = diagnosis.ring0;
      kvm["ring0_ns_per_instruction"] = diagnosis.ring0_ns_per_instruction;
      kvm["ring3_ns_per_instruction"] = diagnosis.ring3_ns_per_instruction;
    }
  }
  const Json json = {{"ready", diagnosis.ready()}, {"kvm", kvm}, {"checks", checks}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace ensemble::control
