// ensemble-vmm: the process of one device on KVM.

#include "control/assembled_machine.h"
#include "control/device_process_main.h"

int main(int count, char** values) {
  using namespace ensemble::control;
  return device_process_main(count, values, "ensemble-vmm", [](const std::string&) -> MachineMaker {
    return [](const auto& configuration, auto& loop, auto& console, auto* agent) {
      return AssembledMachine::create(configuration, loop, console, agent);
    };
  });
}
