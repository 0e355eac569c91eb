#pragma once

#include <asm/bootparam.h>

#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

namespace ensemble::vmm {

// A bzImage whose parts a test may spoil before it is built.
struct LinuxImageBuilder {
  LinuxImageBuilder() {
    header.setup_sects = 4;
    header.boot_flag = 0xaa55;
    header.jump = 0x6aeb;
    header.header = 0x53726448;
    header.version = 0x20f;
    header.loadflags = LOADED_HIGH;
    header.initrd_addr_max = 0x7fffffff;
    header.relocatable_kernel = 1;
    header.xloadflags = XLF_KERNEL_64;
    header.cmdline_size = 2047;
    header.pref_address = 4 << 20;
    header.init_size = 2 << 20;
  }

  std::vector<std::byte> build() const {
    setup_header finished = header;
    if (finished.syssize == 0) {
      finished.syssize = static_cast<__u32>(kernel.size() / 16);
    }
    std::vector<std::byte> file((header.setup_sects + 1u) * 512);
    std::memcpy(file.data() + 0x1f1, &finished, sizeof(finished));
    file.insert(file.end(), kernel.begin(), kernel.end());
    return file;
  }

  setup_header header = {};
  std::vector<std::byte> kernel = std::vector<std::byte>(8192, std::byte{'k'});
};

}  // namespace ensemble::vmm
