#pragma once

#include <slirp/libslirp.h>

#include "vmm/error.h"

namespace ensemble::device {

// The functions of libslirp, which is loaded when the first machine of a process with a user-mode
// network wants it: the library and GLib behind it cost each start of a process more than all
// devices do.
struct SlirpLibrary {
  decltype(&::slirp_new) create;
  decltype(&::slirp_cleanup) destroy;
  decltype(&::slirp_input) input;
  decltype(&::slirp_pollfds_fill) fill_polls;
  decltype(&::slirp_pollfds_poll) handle_polls;

  // The result stays valid until the process ends. Any thread.
  static Result<const SlirpLibrary*> load();
};

}  // namespace ensemble::device
