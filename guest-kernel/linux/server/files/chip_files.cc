#include "guest-kernel/linux/server/files/chip_files.h"

#include <asm/fcntl.h>

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "guest-kernel/chips/catalogue.h"
#include "guest-kernel/lib/clock.h"
#include "guest-kernel/lib/format.h"
#include "guest-kernel/linux/server/file.h"
#include "guest-kernel/linux/server/files/chip_client.h"
#include "guest-kernel/linux/server/files/virtual_directory.h"
#include "guest-kernel/linux/server/growing_array.h"
#include "guest-kernel/linux/server/server.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {
namespace {

// How long a read waits for the driver, which itself gives up long before.
constexpr std::uint64_t kTimeLimit = 5'000'000'000;  // ns

std::array<ChipClient*, guest::StartInfo::kMaximumResources> clients = {};
std::size_t client_count = 0;

class AttributeNode : public Node {
 public:
  AttributeNode(const chips::Attribute& attribute, ChipClient& chip)
      : AttributeNode(attribute.name, attribute.text, attribute.channel, chip) {}
  // One that always says `text`.
  AttributeNode(std::string_view name, std::string_view text, std::uint32_t channel,
                ChipClient& chip)
      : Node(name, kRegularFile | 0444), text_(text), channel_(channel), chip_(&chip) {
    attributes_.device = kSystemDevice;
    attributes_.accessed = attributes_.modified = attributes_.changed = file_time();
  }

  std::uint64_t size() const override { return 4096; }  // as all of Linux's
  Result<Reference<File>> open(std::uint32_t flags, Process& opener) override;

  std::string_view text() const { return text_; }
  std::uint32_t channel() const { return channel_; }
  ChipClient& chip() const { return *chip_; }

 private:
  std::string_view text_;
  std::uint32_t channel_;
  ChipClient* chip_;
};

// An open attribute: each read from its start asks anew.
class AttributeFile : public File, private ChipQuestion {
 public:
  AttributeFile(AttributeNode& node, std::uint32_t flags) : File(node, flags), attribute_(node) {}
  ~AttributeFile() override {
    attribute_.chip().withdraw(*this);
    texts_share.give_back(text_.capacity());
  }

  std::int64_t read(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::uint64_t size() const override { return attribute_.size(); }
  bool set_text(std::string_view text, std::string_view end);

 private:
  void answered(int error, std::string_view text) override;

  AttributeNode& attribute_;
  GrowingArray<char> text_;
  bool has_text_ = false;
  bool is_waiting_ = false;  // for the driver
  int error_ = 0;            // of the last answer
  WaitQueue answers_;
};

Result<Reference<File>> AttributeNode::open(std::uint32_t flags, Process& opener) {
  if ((flags & O_ACCMODE) != O_RDONLY) {
    return fail(EACCES);
  }
  if (texts_share.is_scarce() && !opener.descriptors().is_small()) {
    return fail(ENFILE);
  }
  auto* file = new AttributeFile(*this, flags);
  if (file == nullptr) {
    return fail(ENOMEM);
  }
  const Reference<File> reference(file);
  return text_.empty() || file->set_text(text_, "\n") ? Result<Reference<File>>(reference)
                                                      : fail(ENOMEM);
}

bool AttributeFile::set_text(std::string_view text, std::string_view end) {
  const std::size_t size = text.size() + end.size();
  const std::size_t before = text_.capacity();
  has_text_ = (size <= before || texts_share.has(size)) && text_.resize(size);
  texts_share.exchange(before, text_.capacity());
  if (has_text_) {
    std::copy(text.begin(), text.end(), text_.begin());
    std::copy(end.begin(), end.end(), text_.begin() + text.size());
  }
  return has_text_;
}

void AttributeFile::answered(int error, std::string_view text) {
  is_waiting_ = false;
  error_ = error != 0 ? error : set_text(text, {}) ? 0 : ENOMEM;
  answers_.wake();
}

std::int64_t AttributeFile::read(Task& task, const UserBuffer& buffer, std::uint64_t offset) {
  // A call that waited may go on with another file, which dup2 has put in place of its own.
  const bool asks =
      task.resumed ? !is_waiting_ && !has_text_ && error_ == 0 : offset == 0 || !has_text_;
  const bool is_new = asks && attribute_.text().empty();
  if (is_new) {
    task.deadline = guest::monotonic_ns() + kTimeLimit;
  }
  if (is_new && !is_waiting_) {
    if (const int error = attribute_.chip().ask(*this, attribute_.channel())) {
      return -error;
    }
    is_waiting_ = true;
  }
  if (is_waiting_ && (is_new || task.resumed)) {
    if (task.interrupted && !task.uninterruptible) {
      task.stop_waiting();
      if (answers_.empty()) {
        attribute_.chip().withdraw(*this);
        is_waiting_ = false;
      }
      return kBlocked;
    }
    if (!task.is_due()) {
      return task.wait(answers_);
    }
    attribute_.chip().give_up(*this);
    answered(EIO, {});
  }
  if (error_ != 0 && attribute_.text().empty()) {
    return -error_;
  }
  const auto bytes = std::as_bytes(std::span(text_.begin(), text_.size()));
  return offset >= bytes.size() ? 0 : buffer.fill(bytes.subspan(offset));
}

class AttributeLink : public Node {
 public:
  AttributeLink(Name name, std::string_view target)
      : Node(std::move(name), kSymbolicLink | 0777), size_(target.size()) {
    attributes_.device = kSystemDevice;
    guest::copy_text(target_, target);
  }
  std::uint64_t size() const override { return size_; }
  Result<std::string_view> read_link(std::span<char> /*buffer*/,
                                     const Process* /*viewer*/) const override {
    return guest::text_of(target_);
  }

 private:
  std::array<char, 96> target_{};
  std::uint64_t size_;
};

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

// The directory `name` in `parent`, which is made where it is not there; null: no memory.
Directory* enter(Directory& parent, std::string_view name) {
  if (const Reference<Node> existing = parent.look_up(name, nullptr)) {
    return existing->table();
  }
  Name copy = Name::copy(name);
  auto* made = copy.is_null() ? nullptr
                              : new (std::nothrow) VirtualDirectory(std::move(copy), kSystemDevice);
  return parent.add_child(made) ? made : nullptr;
}

Directory* enter_path(Directory& root, std::string_view path) {
  Directory* directory = &root;
  while (directory != nullptr && !path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    directory = enter(*directory, path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return directory;
}

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
