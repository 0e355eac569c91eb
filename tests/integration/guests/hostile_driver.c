/* A kernel that mistreats every virtio device it finds: registers, rings, descriptors. After each
 * attack the device must have done what the specification leaves it (DEVICE_NEEDS_RESET where the
 * rings are wrong), and after a reset it must serve an honest request. Powers off with 42 when all
 * did, otherwise says what did not and powers off with 1.
 *
 * Runs in 32-bit protected mode with flat segments and paging off. Wants 32 MiB of memory. */
__asm__(".code32");

#include <stdint.h>

#include "virtio_device.h"

#ifndef ROUNDS
#error "ROUNDS: how often each device is attacked with everything"
#endif

static uint32_t random_number(void) {
  static uint32_t state = 0x2545F491;
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state;
}

/* Enabling with one register wrong. */
static void attack_enabling(const char* name, uint32_t offset, uint64_t value) {
  attack = name;
  prepare(0);
  if (offset == kQueueSize) {
    set(offset, (uint32_t)value);
  } else {
    set_address(offset, value);
  }
  set(kQueueReady, 1);
  expect_needs_reset();
  if (get(kQueueReady) != 0) {
    give_up("it enabled the queue");
  }
  set(kStatus, 15);
  set(kQueueNotify, queue);
  expect_needs_reset();
}

static void attack_queue_registers(void) {
  attack_enabling("size 0", kQueueSize, 0);
  attack_enabling("size 3", kQueueSize, 3);
  attack_enabling("size twice the largest", kQueueSize, 2 * get(kQueueSizeMaximum));
  attack_enabling("size 65535", kQueueSize, 65535);
  attack_enabling("size 65544", kQueueSize, 65544);
  attack_enabling("size 4294967295", kQueueSize, 0xFFFFFFFF);
  static const uint32_t registers[] = {kDescriptorsLow, kAvailableLow, kUsedLow};
  for (int i = 0; i < 3; ++i) {
    attack_enabling("ring beyond memory", registers[i], 0x100000000);
    attack_enabling("ring in the device registers", registers[i], kFirstDevice);
    attack_enabling("ring across the end of memory", registers[i], kMemoryEnd - 16);
    attack_enabling("ring across the end of addresses", registers[i], 0xFFFFFFFFFFFFFFF0);
    attack_enabling("ring at an odd address", registers[i], kDescriptors + 1);
  }
}

static void attack_order(void) {
  attack = "notification of a queue that is not ready";
  prepare(0);
  set(kQueueNotify, queue);
  set(kStatus, 15);
  set(kQueueNotify, queue);
  for (uint32_t i = 1; i < 32; ++i) {
    set(kQueueNotify, 1u << i);
  }
  set(kQueueNotify, 0xFFFFFFFF);
  expect_whole();

  attack = "a queue that there is not";
  set(kQueueSelect, 0xFFFFFFFF);
  set(kQueueSize, 8);
  set(kQueueReady, 1);
  if (get(kQueueReady) != 0 || get(kQueueSizeMaximum) != 0) {
    give_up("it has one");
  }
  expect_whole();

  attack = "a queue enabled before FEATURES_OK";
  reset_device();
  set(kStatus, 3);
  set(kQueueSelect, queue);
  set(kQueueSize, kRingSize);
  set(kQueueReady, 1);
  expect_needs_reset();

  attack = "DRIVER_OK before FEATURES_OK";
  reset_device();
  set(kStatus, 7);
  expect_needs_reset();

  attack = "features that it does not offer";
  reset_device();
  set(kStatus, 3);
  for (uint32_t select = 0; select < 2; ++select) {
    set(kDriverFeaturesSelect, select);
    set(kDriverFeatures, 0xFFFFFFFF);
  }
  set(kStatus, 11);
  if ((get(kStatus) & 8) != 0) {
    give_up("it accepted them");
  }
  expect_whole();

  attack = "accesses of other sizes";
  start(0);
  for (uint32_t offset = 0; offset < 0x120; offset += 5) {
    *(volatile uint8_t*)(base + offset) = 0xFF;
    *(volatile uint16_t*)(base + offset) = 0xFFFF;
    (void)*(volatile uint8_t*)(base + offset);
    (void)*(volatile uint16_t*)(base + offset);
  }
  expect_whole();
}

static const uint32_t kIndirectFeature = 1u << 28;
static const uint32_t kEventIndexFeature = 1u << 29;

/* One chain that starts at descriptor 0, made by the caller since begin_chain(). */
static void begin_chain(const char* name) {
  attack = name;
  start(kIndirectFeature);
}
static void end_chain(void) {
  kick(1);
  expect_needs_reset();
  kick(2); /* What is broken stays so. */
  expect_needs_reset();
}

static void attack_rings(void) {
  static const uint16_t indices[] = {kRingSize + 1, 0x7FFF, 0x8000, 0xFFFF};
  for (int i = 0; i < 4; ++i) {
    begin_chain("an index that jumps");
    kick(indices[i]);
    expect_needs_reset();
  }
  static const uint16_t heads[] = {kRingSize, 0x7FFF, 0xFFFF};
  for (int i = 0; i < 3; ++i) {
    begin_chain("a head that is no descriptor");
    available[2] = heads[i];
    end_chain();
  }

  begin_chain("a descriptor that follows itself");
  describe(&ring[0], kBuffer, 16, kNext, 0);
  end_chain();
  begin_chain("descriptors in a circle");
  for (uint16_t i = 0; i < kRingSize; ++i) {
    describe(&ring[i], kBuffer, 16, kNext | kWrite, (uint16_t)((i + 1) % kRingSize));
  }
  end_chain();
  begin_chain("empty descriptors in a circle");
  describe(&ring[0], kBuffer, 0, kNext, 1);
  describe(&ring[1], kBuffer, 0, kNext, 0);
  end_chain();
  begin_chain("a next descriptor that is none");
  describe(&ring[0], kBuffer, 16, kNext, kRingSize);
  end_chain();
  begin_chain("a buffer to read after one to write");
  describe(&ring[0], kBuffer, 16, kNext | kWrite, 1);
  describe(&ring[1], kBuffer, 16, 0, 0);
  end_chain();

  for (uint16_t flags = 0; flags <= kWrite; flags += kWrite) {
    begin_chain("a buffer beyond memory");
    describe(&ring[0], 0x100000000, 16, flags, 0);
    end_chain();
    begin_chain("a buffer across the end of memory");
    describe(&ring[0], kMemoryEnd - 8, 16, flags, 0);
    end_chain();
    begin_chain("a buffer across the end of addresses");
    describe(&ring[0], 0xFFFFFFFFFFFFFFF8, 16, flags, 0);
    end_chain();
    begin_chain("a buffer in the device registers");
    describe(&ring[0], kFirstDevice, 16, flags, 0);
    end_chain();
    begin_chain("a buffer of 4 GiB");
    describe(&ring[0], kBuffer, 0xFFFFFFFF, flags, 0);
    end_chain();
    begin_chain("two buffers of 4 GiB together");
    describe(&ring[0], kBuffer, 16, flags | kNext, 1);
    describe(&ring[1], kBuffer, 0xFFFFFFFF, flags, 0);
    end_chain();
  }
}

static void attack_indirect_table(const char* name, uint64_t address, uint32_t length,
                                  uint16_t flags) {
  begin_chain(name);
  describe(&table[0], kBuffer, 16, 0, 0);
  describe(&ring[0], address, length, flags | kIndirect, 0);
  end_chain();
}

static void attack_indirect(void) {
  attack_indirect_table("an empty indirect table", kTable, 0, 0);
  attack_indirect_table("an indirect table of 15 bytes", kTable, 15, 0);
  attack_indirect_table("an indirect table longer than the queue", kTable, 16 * (kRingSize + 1), 0);
  attack_indirect_table("an indirect table of 4 GiB", kTable, 0xFFFFFFF0, 0);
  attack_indirect_table("an indirect table beyond memory", 0x100000000, 16, 0);
  attack_indirect_table("an indirect table across the end of memory", kMemoryEnd - 16, 32, 0);
  attack_indirect_table("an indirect table with a next descriptor", kTable, 16, kNext);

  begin_chain("an indirect table in an indirect table");
  describe(&table[0], kTable, 16, kIndirect, 0);
  describe(&ring[0], kTable, 16, kIndirect, 0);
  end_chain();
  begin_chain("an indirect table late in an indirect table");
  describe(&table[0], kBuffer, 16, kNext, 1);
  describe(&table[1], kTable, 32, kIndirect, 0);
  describe(&ring[0], kTable, 32, kIndirect, 0);
  end_chain();
  begin_chain("a circle in an indirect table");
  describe(&table[0], kBuffer, 16, kNext, 1);
  describe(&table[1], kBuffer, 16, kNext, 0);
  describe(&ring[0], kTable, 32, kIndirect, 0);
  end_chain();
  begin_chain("a next descriptor outside the indirect table");
  describe(&table[0], kBuffer, 16, kNext, 2);
  describe(&ring[0], kTable, 32, kIndirect, 0);
  end_chain();

  attack = "an indirect table that was not negotiated";
  start(0);
  describe(&table[0], kBuffer, 16, 0, 0);
  describe(&ring[0], kTable, 16, kIndirect, 0);
  end_chain();
}

/* Most addresses that come out are no memory; the others lie in the buffers. */
static uint64_t random_address(void) {
  const uint32_t low = random_number();
  return (low & 3) == 0 ? (uint64_t)random_number() << 32 | low
                        : (uint64_t)(kDescriptors + (low & 0x1FFF8));
}

static void attack_at_random(void) {
  attack = "random rings";
  for (int i = 0; i < 8; ++i) {
    start((random_number() & 1 ? kIndirectFeature : 0) |
          (random_number() & 1 ? kEventIndexFeature : 0));
    for (int entry = 0; entry < kRingSize; ++entry) {
      const uint32_t bits = random_number();
      describe(&ring[entry], random_address(), bits & 0xFFF, (bits >> 12) & 7, (bits >> 16) & 15);
      describe(&table[entry], random_address(), random_number() >> (bits >> 28), (bits >> 20) & 7,
               (bits >> 24) & 7);
      available[2 + entry] = (bits >> 27) & 15;
    }
    kick((uint16_t)(random_number() % (kRingSize + 2)));
    /* The rings change while the device looks at them. */
    for (int change = 0; change < 16; ++change) {
      const uint32_t bits = random_number();
      ring[bits & 7].flags = (bits >> 3) & 7;
      ring[(bits >> 6) & 7].next = (bits >> 9) & 7;
      kick((uint16_t)(bits >> 16));
    }
  }
  attack = "random registers";
  start(kIndirectFeature);
  for (int i = 0; i < 200; ++i) {
    const uint32_t bits = random_number();
    const uint32_t offset = bits & 0x1FC;
    /* Rings whose addresses are memory would let the device write over this program. */
    const int is_address = offset >= kDescriptorsLow && offset <= kUsedLow + 4;
    set(offset, is_address ? bits | 0x80000000u : random_number() >> (bits >> 27));
    (void)get((bits >> 9) & 0x1FC);
  }
}

static void wait_for_used(void) {
  for (uint32_t i = 0; used[1] != 1; ++i) {
    if (i == kPatience) {
      give_up("no answer");
    }
    expect_whole();
  }
}

/* The device serves who keeps to the rules. */
static void ask_honestly(uint32_t device_id) {
  attack = "an honest request";
  queue = device_id == kConsole || device_id == kInput ? 1 : 0;
  start(kIndirectFeature);
  clear(kBuffer, 4096);
  switch (device_id) {
    case kBlock: /* Sector 0; the header asks for it with zeros. */
      describe(&ring[0], kBuffer, 16, kNext, 1);
      describe(&ring[1], kBuffer + 512, 512, kNext | kWrite, 2);
      describe(&ring[2], kBuffer + 2048, 1, kWrite, 0);
      buffer[2048] = 0xFF;
      kick(1);
      wait_for_used();
      if (buffer[2048] != 0) {
        give_up("the disk reports an error");
      }
      break;
    case kConsole:
      buffer[0] = '.';
      describe(&ring[0], kBuffer, 1, 0, 0);
      kick(1);
      wait_for_used();
      break;
    case kEntropy:
      describe(&ring[0], kBuffer, 64, kWrite, 0);
      kick(1);
      wait_for_used();
      uint32_t any = 0;
      for (int i = 0; i < 64; ++i) {
        any |= buffer[i];
      }
      if (any == 0) {
        give_up("the random bytes are zeros");
      }
      break;
    case kInput: /* An event for it (virtio 1.2, section 5.8.6.2). */
      describe(&ring[0], kBuffer, 8, 0, 0);
      kick(1);
      wait_for_used();
      break;
    default:
      give_up("a device that this test does not know");
  }
}

static void attack_device(void) {
  attack = "finding it";
  const uint32_t device_id = get(kDeviceId);
  const uint32_t queues = device_id == kConsole || device_id == kInput ? 2 : 1;
  ask_honestly(device_id);
  for (queue = 0; queue < queues; ++queue) {
    attack_queue_registers();
    attack_order();
    if (device_id == kInput && queue == 0) {
      continue; /* Nobody touches it, so the device does not look at its rings. */
    }
    attack_rings();
    attack_indirect();
    attack_at_random();
  }
  ask_honestly(device_id);
  reset_device();
}

void attack_all_devices(void) {
  uint32_t devices = 0;
  for (int round = 0; round < ROUNDS; ++round) {
    devices = 0;
    for (; devices < kMostDevices; ++devices) {
      base = kFirstDevice + devices * kStride;
      if (get(0) != kMagic) {
        break;
      }
      attack_device();
    }
  }
  print("attacked ");
  print_number(devices);
  print(" devices\n");
  power_off(devices == 0 ? 1 : 42);
}
