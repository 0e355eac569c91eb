#pragma once

#include <string>
#include <string_view>

#include "control/ensemble/vmm/v1/vmm.pb.h"
#include "vmm/error.h"

namespace ensemble::control {

// What ensemble-libvirt does beside running a device, so that the programs that people call need
// not load its libraries. It prints the answer, and exits with another code than 0 where that is
// what is wrong.
//
// Alone: tells of the QEMU that it finds.
inline constexpr std::string_view kCheckEngineArgument = "--check";
// With the socket of a libvirt daemon: prints what its host is made of, as five numbers: nodes of
// memory, sockets in each, cores in each, threads in each, and KiB of memory.
inline constexpr std::string_view kDescribeHostArgument = "--host";
// With a domain's name and its initial RAM disk's path: makes the XML of a domain to keep from the
// vmm::v1::Configuration on its standard input.
inline constexpr std::string_view kDomainXmlArgument = "--domain-xml";

// What `program`, an ensemble-libvirt, says about the QEMU that it finds. Takes up to seconds. The
// Error says why it can run no device.
Result<std::string> check_libvirt(const std::string& program);

// What `program` prints of the host of a libvirt daemon. Takes up to 2 s. Any thread.
Result<std::string> describe_libvirt_host(const std::string& program, const std::string& socket);

// Has `program` make the XML. The Error is that of domain_xml().
Result<std::string> make_domain_xml(const std::string& program,
                                    const ensemble::vmm::v1::Configuration& configuration,
                                    const std::string& name, const std::string& initial_ramdisk);

}  // namespace ensemble::control
