#include "guest-kernel/linux/server/inspection.h"

#include "guest-kernel/linux/server/process_table.h"

namespace linux_server {

bool may_inspect(const Process* viewer, const Process& subject) {
  if (viewer == nullptr || viewer == &subject) {
    return true;
  }
  const Credentials& own = viewer->credentials;
  if (own.has(Capability::kTrace)) {
    return true;
  }
  const Credentials& its = subject.credentials;
  const bool same_user =
      own.user == its.real_user && own.user == its.effective_user && own.user == its.saved_user;
  const bool same_group = own.group == its.real_group && own.group == its.effective_group &&
                          own.group == its.saved_group;
  return same_user && same_group && subject.dumpable == 1 && (its.permitted & ~own.permitted) == 0;
}

void set_inspected_owner(Attributes& attributes, const Process* viewer, std::uint32_t subject) {
  constexpr std::uint32_t kPublicDirectory = kDirectory | 0555;
  const Process* process = find_process(subject);
  if (process == nullptr) {
    return;
  }
  if (process == viewer) {
    attributes.user = viewer->credentials.user;
    attributes.group = viewer->credentials.group;
  } else if (process->dumpable == 1 || attributes.mode == kPublicDirectory) {
    attributes.user = process->credentials.effective_user;
    attributes.group = process->credentials.effective_group;
  }
}

}  // namespace linux_server
