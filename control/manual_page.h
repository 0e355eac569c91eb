#pragma once

#include <string>

#include "control/command_description.h"

namespace ensemble::control {

// The manual page of a command in troff's man macros: its options and, each in a part of its own,
// its commands. `section` is the manual's, 1 or 8; `see_also` are pages, such as "ensembled(8)".
std::string manual_page(const CommandDescription& command, int section,
                        const std::string& see_also);

}  // namespace ensemble::control
