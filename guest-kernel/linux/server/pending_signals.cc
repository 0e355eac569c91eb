#include "guest-kernel/linux/server/pending_signals.h"

#include <new>

namespace linux_server {

bool PendingSignals::add(const SignalInfo& info, bool room) {
  const std::uint32_t number = info.number();
  const bool real_time = number >= kFirstRealTime;
  const bool is_timer = info.code() == SignalInfo::kTimer;
  if (!real_time && !is_timer && (set_ & signal_bit(number)) != 0) {
    return true;
  }
  Entry* entry = room && count_ < kMaximumQueued ? new Entry(info) : nullptr;
  if (entry == nullptr) {
    const bool is_lost = is_timer || (real_time && info.code() != SignalInfo::kUser);
    set_ |= is_lost ? 0 : signal_bit(number);
    return !is_lost;
  }
  Entry** end = &first_;
  while (*end != nullptr) {
    end = &(*end)->next;
  }
  *end = entry;
  ++count_;
  set_ |= signal_bit(number);
  return true;
}

SignalInfo PendingSignals::take(std::uint32_t number) {
  SignalInfo taken = SignalInfo::of(number, SignalInfo::kUser);
  bool more = false;
  bool found = false;
  for (Entry** link = &first_; *link != nullptr;) {
    Entry* entry = *link;
    if (entry->info.number() != number) {
      link = &entry->next;
    } else if (found) {
      more = true;
      break;
    } else {
      found = true;
      taken = entry->info;
      *link = entry->next;
      delete entry;
      --count_;
    }
  }
  if (!more) {
    set_ &= ~signal_bit(number);
  }
  return taken;
}

bool PendingSignals::has_timer(std::uint32_t number, std::uint32_t timer) const {
  for (const Entry* entry = first_; entry != nullptr; entry = entry->next) {
    if (entry->info.number() == number && entry->info.code() == SignalInfo::kTimer &&
        static_cast<std::uint32_t>(entry->info.words[2]) == timer) {
      return true;
    }
  }
  return false;
}

void PendingSignals::clear(std::uint64_t set) {
  for (Entry** link = &first_; *link != nullptr;) {
    Entry* entry = *link;
    if ((set & signal_bit(entry->info.number())) != 0) {
      *link = entry->next;
      delete entry;
      --count_;
    } else {
      link = &entry->next;
    }
  }
  set_ &= ~set;
}

}  // namespace linux_server
