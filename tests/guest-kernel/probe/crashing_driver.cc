// In the entropy driver's place in a boot package of the tests: takes a fault at each call.

#include "guest-kernel/drivers/driver.h"
#include "guest-kernel/lib/program.h"

void program_main(guest::StartInfo& info) {
  driver::Driver driver(info);
  driver.running();
  for (;;) {
    const auto received = driver.receiver().wait();
    if (received && !received->is_notification()) {
      asm volatile("ud2");
    }
  }
}
