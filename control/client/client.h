#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "control/ensemble/v1/console.pb.h"
#include "control/ensemble/v1/devices.pb.h"
#include "control/ensemble/v1/exec.pb.h"
#include "control/ensemble/v1/files.pb.h"
#include "control/ensemble/v1/host.pb.h"
#include "control/ensemble/v1/input.pb.h"
#include "control/ensemble/v1/logs.pb.h"
#include "control/ensemble/v1/metrics.pb.h"
#include "control/ensemble/v1/operations.pb.h"
#include "vmm/error.h"

namespace ensemble::control {

// A device's console, attached to. Two threads may use it, one for each direction.
class ConsoleAttachment {
 public:
  virtual ~ConsoleAttachment() = default;

  // What the device printed next; an empty text is the end: the device has stopped.
  virtual Result<std::string> read() = 0;
  // False once the attachment has ended.
  virtual bool type(const std::string& text) = 0;
  virtual bool resize(std::uint32_t columns, std::uint32_t rows) = 0;
  // Ends the attachment; the device goes on, and read() returns. Any thread.
  virtual void leave() = 0;
};

// A program in a device. Two threads may use it, one for each direction.
class RunningProgram {
 public:
  virtual ~RunningProgram() = default;

  // What comes next; nothing comes behind one with `ended`. After an Error, which is the last too,
  // reason() is v1::ErrorDetail's: "CANNOT_RUN" and others.
  virtual Result<v1::RunResponse> read() = 0;
  virtual std::string reason() const = 0;
  // Waits for the program to take its input. False once the call has ended.
  virtual bool send(const v1::RunRequest& request) = 0;
  // Ends the call, and the program with it; read() returns an Error. Any thread.
  virtual void cancel() = 0;
};

// Where a daemon is, and how to show it who asks. Empty: not used.
struct DaemonAddress {
  // Its Unix socket.
  std::string socket;
  // Its TCP port instead, "127.0.0.1:7070" or "host.example.org:7070".
  std::string tcp;
  // A bearer token, for TCP.
  std::string token;
  // In PEM: whom the daemon's certificate must come from (empty: one of the host's authorities),
  // and this client's certificate and key. With any of these, or anywhere but on loopback, the port
  // is spoken to with TLS.
  std::string tls_ca;
  std::string tls_certificate;
  std::string tls_key;

  const std::string& place() const { return tcp.empty() ? socket : tcp; }
};

// A daemon, by its API. Thread-safe. Errors are the daemon's sentences, or say how to start one.
class Client {
 public:
  // What to do with each message of a stream; false ends it.
  template <typename Message>
  using Visit = std::function<bool(const Message& message)>;

  // Longest time for one call that does not wait for a device.
  static constexpr std::chrono::seconds kCallPatience{30};
  // And for figures, which somebody looks at and which silent devices do not hold up.
  static constexpr std::chrono::seconds kMetricsPatience{5};

  // Of the daemon that serves the Unix socket; it is connected to with the first call.
  explicit Client(std::string socket);
  // Of the daemon there.
  explicit Client(DaemonAddress address);
  ~Client();

  // Another place; before the first call.
  void set_address(DaemonAddress address);

  Result<v1::Device> create(const v1::CreateDeviceRequest& request);
  Result<v1::Device> get(const std::string& name);
  // All devices that match (see v1::ListDevicesRequest), whatever the size of a page.
  Result<std::vector<v1::Device>> list(const std::string& filter);
  Result<v1::Device> update(const v1::UpdateDeviceRequest& request);
  Result<v1::Device> pause(const std::string& name);
  Result<v1::Device> resume(const std::string& name);
  Result<v1::Device> reset(const std::string& name);

  // These wait for the operation's end.
  Result<void> start(const std::string& name);
  Result<void> stop(const std::string& name);
  Result<void> remove(const std::string& name, bool force);

  Result<void> watch(const std::string& filter, const Visit<v1::DeviceEvent>& visit);
  Result<void> read_logs(const v1::ReadLogsRequest& request, const Visit<v1::LogChunk>& visit);
  Result<std::unique_ptr<ConsoleAttachment>> attach(const v1::AttachRequest::Begin& begin);
  // A program that cannot be started shows with the first read().
  std::unique_ptr<RunningProgram> run(const v1::RunRequest::Begin& begin);
  Result<v1::HostInformation> host();
  Result<void> send_input(const v1::SendInputRequest& request);
  // Figures of devices, whatever the size of a page.
  Result<std::vector<v1::DeviceMetrics>> metrics(v1::ListDeviceMetricsRequest request);

  // Writes a file in a device; `next` gives its contents from begin.offset() on, in pieces of at
  // most 1 MiB, and an empty one at their end.
  Result<void> push(const v1::PushRequest::Begin& begin,
                    const std::function<Result<std::string>()>& next);
  // How many bytes of a broken push are there.
  Result<std::uint64_t> push_state(const v1::PushRequest::Begin& begin);
  // Reads a file in a device.
  Result<void> pull(const v1::PullRequest& request, const Visit<v1::PullResponse>& visit);
  Result<std::vector<v1::FileEntry>> list_files(const std::string& device, const std::string& path);
  Result<v1::FileEntry> stat_file(const std::string& device, const std::string& path);

 private:
  struct Stubs;
  // Made at first use, with gRPC's threads.
  Stubs& stubs();
  Result<void> wait(Result<v1::Operation> started);

  DaemonAddress address_;
  std::string socket_;  // Or the address, for messages.
  std::once_flag once_;
  std::unique_ptr<Stubs> stubs_;
};

}  // namespace ensemble::control
