#include "control/libvirt/domain_xml.h"

#include <fmt/format.h>
#include <libxml/tree.h>
#include <libxml/xmlsave.h>

#include <initializer_list>
#include <memory>
#include <utility>

#include "device-model/machine_layout.h"

namespace ensemble::control {
namespace {

namespace proto = ensemble::vmm::v1;

constexpr const char* kQemuNamespace = "http://libvirt.org/schemas/domain/qemu/1.0";

const xmlChar* chars(const char* text) {
  return reinterpret_cast<const xmlChar*>(text);
}

struct FreeDocument {
  void operator()(xmlDoc* document) const { xmlFreeDoc(document); }
};

// An element of the document, which owns it.
class Element {
 public:
  explicit Element(xmlNode* node) : node_(node) {}

  Element add(const char* name, const std::string& text = {}) const {
    return Element(
        xmlNewTextChild(node_, nullptr, chars(name), text.empty() ? nullptr : chars(text.c_str())));
  }
  const Element& set(const char* attribute, const std::string& value) const {
    xmlNewProp(node_, chars(attribute), chars(value.c_str()));
    return *this;
  }
  void adopt(xmlNode* child) const { xmlAddChild(node_, child); }

 private:
  xmlNode* node_;
};

// Where a value goes into the document as it is.
Result<void> check_text(const char* what, const std::string& text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 && c != '\t') {
      return fail("the {} has a control character, which XML cannot express", what);
    }
  }
  if (xmlCheckUTF8(chars(text.c_str())) == 0) {
    return fail("the {} '{}' is not UTF-8, as XML has to be", what, text);
  }
  return {};
}

Result<void> check(const proto::Configuration& configuration, const DomainOptions& options) {
  struct Value {
    const char* what;
    const std::string& text;
  };
  for (const auto& [what, text] :
       {Value{"domain's name", options.name}, Value{"kernel's path", configuration.kernel()},
        Value{"command line", configuration.kernel_command_line()},
        Value{"initial RAM disk's path", options.initial_ramdisk},
        Value{"emulator's path", options.emulator},
        Value{"console's socket", options.console_socket},
        Value{"port's socket", options.port_socket}}) {
    if (auto checked = check_text(what, text); !checked) {
      return checked;
    }
  }
  for (const proto::Device& device : configuration.devices()) {
    if (auto checked = check_text("disk's path", device.virtio_block().path()); !checked) {
      return checked;
    }
  }
  return {};
}

void add_boot(const Element& domain, const proto::Configuration& configuration,
              const DomainOptions& options) {
  const Element os = domain.add("os");
  os.add("type", "hvm").set("arch", "x86_64").set("machine", "microvm");
  os.add("kernel", configuration.kernel());
  os.add("initrd", options.initial_ramdisk);
  os.add("cmdline", configuration.kernel_command_line());
}

void add_processor(const Element& domain, const DomainOptions& options) {
  const Element cpu = domain.add("cpu");
  if (!options.use_kvm) {
    cpu.set("mode", "maximum");
    return;
  }
  cpu.set("mode", "host-passthrough").set("migratable", "off");
  // A KVM without it says so, and QEMU would not start.
  cpu.add("feature").set("policy", "disable").set("name", "arch-capabilities");
}

void add_stream(const Element& devices, const char* kind, const char* target,
                const std::string& socket) {
  const Element stream = devices.add(kind).set("type", socket.empty() ? "pty" : "unix");
  if (!socket.empty()) {
    stream.add("source").set("mode", "connect").set("path", socket);
  }
  stream.add("target").set("type", target);
}

void add_serial_controller(const Element& devices, const char* index, const char* ports) {
  devices.add("controller")
      .set("type", "virtio-serial")
      .set("index", index)
      .set("ports", ports)
      .add("address")
      .set("type", "virtio-mmio");
}

// On a controller of its own, with the two ports by which the guest knows it (docs/machine.md).
void add_port(const Element& devices, const std::string& name, const std::string& socket) {
  add_serial_controller(devices, "1", "2");
  const Element channel = devices.add("channel").set("type", "unix");
  channel.add("source").set("mode", "bind").set("path", socket);
  channel.add("target").set("type", "virtio").set("name", name);
  channel.add("address")
      .set("type", "virtio-serial")
      .set("controller", "1")
      .set("bus", "0")
      .set("port", "1");
}

void add_disk(const Element& devices, const proto::VirtioBlock& block) {
  const Element disk = devices.add("disk").set("type", "file").set("device", "disk");
  disk.add("driver").set("name", "qemu").set("type", "raw");
  disk.add("source").set("file", block.path());
  disk.add("target").set("dev", "vda").set("bus", "virtio");
  if (block.read_only()) {
    disk.add("readonly");
  }
  if (!block.serial().empty()) {
    disk.add("serial", block.serial());
  }
  disk.add("address").set("type", "virtio-mmio");
}

void add_devices(const Element& domain, const proto::Configuration& configuration,
                 const DomainOptions& options) {
  const Element devices = domain.add("devices");
  if (!options.emulator.empty()) {
    devices.add("emulator", options.emulator);
  }
  for (const proto::Device& device : configuration.devices()) {
    switch (device.kind_case()) {
      case proto::Device::kSerial16550:
        add_stream(devices, "serial", "isa-serial", options.serial_socket);
        break;
      case proto::Device::kVirtioConsole:
        add_serial_controller(devices, "0", "1");
        add_stream(devices, "console", "virtio", options.console_socket);
        break;
      case proto::Device::kVirtioEntropy: {
        const Element entropy = devices.add("rng").set("model", "virtio");
        entropy.add("backend", "/dev/urandom").set("model", "random");
        entropy.add("address").set("type", "virtio-mmio");
        break;
      }
      case proto::Device::kVirtioPort:
        add_port(devices, device.virtio_port().name(), options.port_socket);
        break;
      case proto::Device::kVirtioBlock:
        add_disk(devices, device.virtio_block());
        break;
      default:  // Machine control is Ensemble's own.
        break;
    }
  }
  devices.add("controller").set("type", "usb").set("model", "none");
  devices.add("memballoon").set("model", "none");
}

// What libvirt has no elements for.
void add_command_line(const Element& domain, xmlNode* root, const DomainOptions& options) {
  xmlNs* const space = xmlNewNs(root, chars(kQemuNamespace), chars("qemu"));
  xmlNode* const line = xmlNewNode(space, chars("commandline"));
  domain.adopt(line);
  const auto add = [&](const std::string& value) {
    xmlNode* const argument = xmlNewChild(line, space, chars("arg"), nullptr);
    xmlNewProp(argument, chars("value"), chars(value.c_str()));
  };
  if (options.use_kvm) {
    // A KVM of a paravirtual kind has neither.
    add("-machine");
    add("pit=off,pic=off,rtc=off");
  }
  // The kernel drives virtio-mmio version 2.
  add("-global");
  add("virtio-mmio.force-legacy=false");
  if (options.power_socket.empty()) {
    add("-device");
    add(fmt::format("isa-debug-exit,iobase={:#x},iosize=0x4", device::kPowerPort));
  } else {
    add("-chardev");
    std::string path = options.power_socket;
    for (std::size_t at = 0; (at = path.find(',', at)) != std::string::npos; at += 2) {
      path.insert(at, 1, ',');  // QEMU's way to write a comma in a value.
    }
    add("socket,id=power,path=" + path);
    add("-device");
    add(fmt::format("isa-debugcon,iobase={:#x},chardev=power", device::kPowerPort));
  }
}

}  // namespace

Result<std::string> domain_xml(const proto::Configuration& configuration,
                               const DomainOptions& options) {
  if (auto checked = check(configuration, options); !checked) {
    return std::unexpected(checked.error());
  }
  const std::unique_ptr<xmlDoc, FreeDocument> document(xmlNewDoc(chars("1.0")));
  xmlNode* const root = xmlNewDocNode(document.get(), nullptr, chars("domain"), nullptr);
  xmlDocSetRootElement(document.get(), root);
  const Element domain(root);
  domain.set("type", options.use_kvm ? "kvm" : "qemu");
  domain.add("name", options.name);
  domain.add("memory", std::to_string(configuration.memory_bytes())).set("unit", "bytes");
  domain.add("vcpu", std::to_string(configuration.vcpus()));
  add_boot(domain, configuration, options);
  add_processor(domain, options);
  domain.add("on_poweroff", "destroy");
  // QEMU would reset a processor in place after a triple fault, and nobody would be told. Resets
  // that are asked for come by the power port.
  domain.add("on_reboot", options.power_socket.empty() ? "restart" : "destroy");
  domain.add("on_crash", "destroy");
  add_devices(domain, configuration, options);
  add_command_line(domain, root, options);

  xmlChar* text = nullptr;
  int size = 0;
  xmlDocDumpFormatMemoryEnc(document.get(), &text, &size, "UTF-8", 1);
  if (text == nullptr) {
    return fail("there is too little memory for the domain's XML");
  }
  std::string xml(reinterpret_cast<const char*>(text), static_cast<std::size_t>(size));
  xmlFree(text);
  return xml;
}

}  // namespace ensemble::control
