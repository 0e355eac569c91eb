/* What an honest driver of a virtio-mmio device needs (virtio 1.2, section 4.2), for a kernel in
 * 32-bit protected mode with flat segments and paging off. There is one device at a time. */
#pragma once

#include <stdint.h>

enum {
  kMachineControl = 0xD0000000u,
  kFirstDevice = 0xD0001000u,
  kStride = 0x1000,
  kMostDevices = 15,
  kMagic = 0x74726976,
  kMemoryEnd = 32 << 20,

  /* Registers (virtio 1.2, section 4.2.2). */
  kDeviceId = 0x08,
  kDriverFeatures = 0x20,
  kDriverFeaturesSelect = 0x24,
  kQueueSelect = 0x30,
  kQueueSizeMaximum = 0x34,
  kQueueSize = 0x38,
  kQueueReady = 0x44,
  kQueueNotify = 0x50,
  kStatus = 0x70,
  kDescriptorsLow = 0x80,
  kAvailableLow = 0x90,
  kUsedLow = 0xA0,

  kNeedsReset = 64,
  kNext = 1,
  kWrite = 2,
  kIndirect = 4,

  kBlock = 2,
  kConsole = 3,
  kEntropy = 4,
  kInput = 18,

  /* Where the driver keeps its things. */
  kDescriptors = 0x800000,
  kAvailable = 0x801000,
  kUsed = 0x802000,
  kTable = 0x803000,
  kBuffer = 0x810000,
  kRingSize = 8,

  kPatience = 1000000, /* Register reads: an answer comes within a few. */
};

struct descriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags;
  uint16_t next;
};

static volatile struct descriptor* const ring = (volatile struct descriptor*)kDescriptors;
static volatile struct descriptor* const table = (volatile struct descriptor*)kTable;
static volatile uint16_t* const available = (volatile uint16_t*)kAvailable; /* flags, index, ring */
static volatile uint16_t* const used = (volatile uint16_t*)kUsed;
static volatile uint8_t* const buffer = (volatile uint8_t*)kBuffer;

static uint32_t base;  /* Of the device under attack. */
static uint32_t queue; /* And its queue. */
static const char* attack;

static uint32_t get(uint32_t offset) {
  return *(volatile uint32_t*)(base + offset);
}
static void set(uint32_t offset, uint32_t value) {
  *(volatile uint32_t*)(base + offset) = value;
}
static void set_address(uint32_t offset, uint64_t address) {
  set(offset, (uint32_t)address);
  set(offset + 4, (uint32_t)(address >> 32));
}

static void print(const char* text) {
  for (; *text != 0; ++text) {
    __asm__ volatile("outb %0, %1" : : "a"(*text), "d"((uint16_t)0x3F8));
  }
}

static void print_number(uint32_t value) {
  char text[9];
  for (int i = 0; i < 8; ++i) {
    text[i] = "0123456789abcdef"[(value >> (28 - 4 * i)) & 15];
  }
  text[8] = 0;
  print(text);
}

static void power_off(uint32_t code) {
  *(volatile uint32_t*)kMachineControl = code << 16 | 0x3333;
  for (;;) {
    __asm__ volatile("hlt");
  }
}

static void give_up(const char* reason) {
  print("device at ");
  print_number(base);
  print(", queue ");
  print_number(queue);
  print(", ");
  print(attack);
  print(": ");
  print(reason);
  print("; status ");
  print_number(get(kStatus));
  print("\n");
  power_off(1);
}

static void clear(uint32_t address, uint32_t bytes) {
  bytes /= 4;
  __asm__ volatile("rep stosl" : "+D"(address), "+c"(bytes) : "a"(0) : "memory");
}

static void expect_needs_reset(void) {
  for (uint32_t i = 0; i < kPatience; ++i) {
    if ((get(kStatus) & kNeedsReset) != 0) {
      return;
    }
  }
  give_up("it does not ask for a reset");
}

static void expect_whole(void) {
  if ((get(kStatus) & kNeedsReset) != 0) {
    give_up("it asks for a reset without a reason");
  }
}

static void reset_device(void) {
  set(kStatus, 0);
  for (uint32_t i = 0; get(kStatus) != 0; ++i) {
    if (i == kPatience) {
      give_up("it does not reset");
    }
  }
}

/* Up to FEATURES_OK, with clean rings in memory and the queue's registers written, not enabled. */
static void prepare(uint32_t features_low) {
  reset_device();
  clear(kDescriptors, 0x4000);
  set(kStatus, 1);
  set(kStatus, 3);
  set(kDriverFeaturesSelect, 0);
  set(kDriverFeatures, features_low);
  set(kDriverFeaturesSelect, 1);
  set(kDriverFeatures, 1); /* VIRTIO_F_VERSION_1 */
  set(kStatus, 11);
  if (get(kStatus) != 11) {
    give_up("it does not accept the features");
  }
  set(kQueueSelect, queue);
  set(kQueueSize, kRingSize);
  set_address(kDescriptorsLow, kDescriptors);
  set_address(kAvailableLow, kAvailable);
  set_address(kUsedLow, kUsed);
}

static void start(uint32_t features_low) {
  prepare(features_low);
  set(kQueueReady, 1);
  if (get(kQueueReady) != 1) {
    give_up("it does not enable its queue");
  }
  set(kStatus, 15);
}

static void describe(volatile struct descriptor* into, uint64_t address, uint32_t length,
                     uint16_t flags, uint16_t next) {
  into->address = address;
  into->length = length;
  into->flags = flags;
  into->next = next;
}

static void kick(uint16_t index) {
  __sync_synchronize();
  available[1] = index;
  __sync_synchronize();
  set(kQueueNotify, queue);
}
