#include "guest-kernel/linux/server/files/system_files.h"

#include <linux/magic.h>

#include <array>
#include <new>

#include "guest-kernel/lib/format.h"
#include "guest-kernel/linux/server/files/chip_files.h"
#include "guest-kernel/linux/server/files/clock_device.h"
#include "guest-kernel/linux/server/files/text_file.h"
#include "guest-kernel/linux/server/files/virtual_directory.h"
#include "guest-kernel/linux/server/mounts.h"
#include "guest-kernel/linux/server/server.h"

namespace linux_server {
namespace {

void write_processor_range(guest::TextWriter& text, const Process* /*subject*/) {
  const std::uint64_t count = server().info().processor_count;
  text.put('0');
  if (count > 1) {
    text.put('-').decimal(count - 1);
  }
  text.put('\n');
}

// Large pages are used wherever memory lies well; programs have no say in it.
void write_huge_pages(guest::TextWriter& text, const Process* /*subject*/) {
  text.text("[always] madvise never\n");
}

struct Description {
  std::string_view path;  // in /sys; a directory where there is no generator
  TextNode::Generator generator;
};

constexpr Description kEntries[] = {
    {"class", nullptr},
    {"fs", nullptr},
    {"devices/system/cpu/online", write_processor_range},
    {"devices/system/cpu/possible", write_processor_range},
    {"devices/system/cpu/present", write_processor_range},
    {"kernel/mm/transparent_hugepage/enabled", write_huge_pages},
};

Directory* enter(Directory& parent, std::string_view name) {
  if (const Reference<Node> existing = parent.look_up(name, nullptr)) {
    return existing->table();
  }
  auto* made = new (std::nothrow) VirtualDirectory(name, kSystemDevice);
  return parent.add_child(made) ? made : nullptr;
}

// A directory for each processor, as programs count them.
bool add_processors(Directory& root) {
  Directory* directory = &root;
  for (const std::string_view name : {"devices", "system", "cpu"}) {
    directory = enter(*directory, name);
    if (directory == nullptr) {
      return false;
    }
  }
  for (std::uint32_t index = 0; index < server().info().processor_count; ++index) {
    std::array<char, 16> name;
    guest::TextWriter text(name);
    text.text("cpu").decimal(index);
    if (enter(*directory, text.view()) == nullptr) {
      return false;
    }
  }
  return true;
}

bool add(Directory& root, const Description& entry) {
  Directory* directory = &root;
  std::string_view path = entry.path;
  for (;;) {
    const std::size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    if (slash == std::string_view::npos && entry.generator != nullptr) {
      return directory->add_child(new (std::nothrow)
                                      TextNode(name, entry.generator, 0, nullptr, kSystemDevice));
    }
    directory = enter(*directory, name);
    if (directory == nullptr || slash == std::string_view::npos) {
      return directory != nullptr;
    }
    path.remove_prefix(slash + 1);
  }
}

}  // namespace

bool add_system_files(Directory& root) {
  auto* directory = new (std::nothrow) VirtualDirectory("sys", kSystemDevice);
  if (!root.add_child(directory) || !add_mount(*directory, "sysfs", "sysfs", SYSFS_MAGIC, false)) {
    return false;
  }
  for (const Description& entry : kEntries) {
    if (!add(*directory, entry)) {
      return false;
    }
  }
  return add_processors(*directory) && add_chip_files(*directory) && add_clock_files(*directory);
}

}  // namespace linux_server
