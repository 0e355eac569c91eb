#include <span>

#include "control/command_line.h"

int main(int count, char** arguments) {
  return ensemble::control::run_command_line(
      std::span<const char* const>(arguments, static_cast<std::size_t>(count)).subspan(1));
}
