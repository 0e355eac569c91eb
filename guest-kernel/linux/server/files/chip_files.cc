#include "guest-kernel/linux/server/files/chip_files.h"

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "guest-kernel/chips/catalogue.h"
#include "guest-kernel/lib/format.h"
#include "guest-kernel/linux/server/files/attribute_node.h"
#include "guest-kernel/linux/server/files/chip_client.h"
#include "guest-kernel/linux/server/files/virtual_directory.h"
#include "guest-kernel/linux/server/server.h"

namespace linux_server {
namespace {

std::array<ChipClient*, guest::StartInfo::kMaximumResources> clients = {};
std::size_t client_count = 0;

// The directory of a device, which is filled when somebody looks into it.
class DeviceDirectory : public VirtualDirectory {
 public:
  DeviceDirectory(Name name, const chips::ChipDevice& device, ChipClient& chip)
      : VirtualDirectory(std::move(name), kSystemDevice), device_(&device), chip_(&chip) {}

  Reference<Node> look_up(std::string_view name, Process* viewer) override {
    fill();
    return VirtualDirectory::look_up(name, viewer);
  }
  bool next_entry(std::uint64_t position, Process* viewer, DirectoryItem& item) override {
    fill();
    return VirtualDirectory::next_entry(position, viewer, item);
  }
  bool is_empty() const override { return false; }
  Result<Reference<File>> open(std::uint32_t flags, Process& opener) override {
    return fill() ? VirtualDirectory::open(flags, opener) : fail(ENOMEM);
  }

 private:
  // False: no memory for some, which are left out until there is.
  bool fill() {
    if (is_full_) {
      return true;
    }
    const bool is_iio = device_->subsystem == chips::Subsystem::kIio;
    bool all = has("subsystem") ||
               add_child(new (std::nothrow) AttributeLink(
                   Name("subsystem"),
                   is_iio ? "../../../../../bus/iio" : "../../../../../../class/power_supply"));
    if (is_iio) {
      all = all && (has("name") ||
                    add_child(new (std::nothrow) AttributeNode("name", device_->name, 0, *chip_)));
    }
    for (const chips::Attribute& attribute : device_->attributes) {
      all = all &&
            (has(attribute.name) || add_child(new (std::nothrow) AttributeNode(attribute, *chip_)));
    }
    is_full_ = all;
    return all;
  }
  bool has(std::string_view name) const { return entries_.find(name) != nullptr; }

  const chips::ChipDevice* device_;
  ChipClient* chip_;
  bool is_full_ = false;
};

// Where a device is, and the place of the link to it.
struct Place {
  std::array<char, 64> path_buffer;
  std::array<char, 40> name_buffer;
  std::string_view path;  // of its directory's parent, below /sys
  std::string_view name;
  std::string_view links;      // the directory of links, below /sys
  std::string_view from_link;  // from there back to /sys
};

void find_place(Place& place, const chips::ChipDevice& device, std::uint32_t chip,
                std::size_t iio_number) {
  const bool is_iio = device.subsystem == chips::Subsystem::kIio;
  guest::TextWriter path(place.path_buffer);
  const std::uint32_t bus = guest::chip_bus(chip);
  path.text("devices/platform/i2c-").decimal(bus).put('/').decimal(bus).put('-');
  path.hexadecimal(guest::chip_address(chip), 4).text(is_iio ? "" : "/power_supply");
  guest::TextWriter name(place.name_buffer);
  if (is_iio) {
    name.text("iio:device").decimal(iio_number);
  } else {
    name.text(device.name);
  }
  place.path = path.view();
  place.name = name.view();
  place.links = is_iio ? "bus/iio/devices" : "class/power_supply";
  place.from_link = is_iio ? "../../../" : "../../";
}

bool add_device(Directory& root, const chips::ChipDevice& device, ChipClient& chip,
                std::size_t& iio_count) {
  Place place;
  find_place(place, device, chip.resource().value, iio_count);
  iio_count += device.subsystem == chips::Subsystem::kIio ? 1 : 0;
  Directory* const parent = enter_path(root, place.path);
  Directory* const links = parent == nullptr ? nullptr : enter_path(root, place.links);
  if (links == nullptr) {
    return false;
  }
  if (links->look_up(place.name, nullptr)) {
    return true;  // as on Linux, the second of two power supplies of one name is not there
  }
  std::array<char, 96> buffer;
  guest::TextWriter target(buffer);
  target.text(place.from_link).text(place.path).put('/').text(place.name);
  Name name = Name::copy(place.name);
  Name link = Name::copy(place.name);
  return !name.is_null() && !link.is_null() &&
         parent->add_child(new (std::nothrow) DeviceDirectory(std::move(name), device, chip)) &&
         links->add_child(new (std::nothrow) AttributeLink(std::move(link), target.view()));
}

}  // namespace

bool add_chip_files(Directory& root) {
  std::size_t iio_count = 0;
  const guest::StartInfo& info = server().info();
  for (std::size_t index = 0; const guest::Resource* chip = info.find(guest::Role::kChip, index);
       ++index) {
    const std::size_t kind = guest::chip_kind(chip->value);
    auto* const client = new (std::nothrow) ChipClient(*chip, info.slot_of(guest::Role::kControl));
    if (client == nullptr || kind >= chips::catalogue().size()) {
      delete client;
      return client != nullptr;
    }
    clients[client_count++] = client;
    for (const chips::ChipDevice& device : chips::catalogue()[kind]->devices) {
      if (!add_device(root, device, *client, iio_count)) {
        return false;
      }
    }
  }
  return true;
}

void take_chip_answers() {
  for (std::size_t index = 0; index < client_count; ++index) {
    clients[index]->look();
  }
}

}  // namespace linux_server
