#pragma once

#include "guest-kernel/lib/format.h"
#include "guest-kernel/linux/server/process.h"

// What the files of /proc/ID say; see proc(5).
namespace linux_server {

void write_command_line(guest::TextWriter& text, const Process* subject);
void write_environment(guest::TextWriter& text, const Process* subject);
void write_auxiliary(guest::TextWriter& text, const Process* subject);
void write_process_name(guest::TextWriter& text, const Process* subject);
std::int64_t take_process_name(std::string_view text, Process* subject);
void write_maps(guest::TextWriter& text, const Process* subject);
void write_detailed_maps(guest::TextWriter& text, const Process* subject);
void write_process_status(guest::TextWriter& text, const Process* subject);
void write_process_statistics(guest::TextWriter& text, const Process* subject);
void write_memory_sizes(guest::TextWriter& text, const Process* subject);
void write_limits(guest::TextWriter& text, const Process* subject);
void write_control_group(guest::TextWriter& text, const Process* subject);
void write_out_of_memory_score(guest::TextWriter& text, const Process* subject);
std::int64_t take_out_of_memory_score(std::string_view text, Process* subject);
// Of the process that looks too.
void write_mounts(guest::TextWriter& text, const Process* subject);
void write_mount_information(guest::TextWriter& text, const Process* subject);

}  // namespace linux_server
