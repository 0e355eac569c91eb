#include "control/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

namespace ensemble::control {

void set_log_level(const std::string& level) {
  auto logger = std::make_shared<spdlog::logger>("ensemble",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_level(spdlog::level::from_str(level));
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %P %l: %v");
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace ensemble::control
