"""Names, labels, lists and quotas of devices."""

import grpc
from google.protobuf import field_mask_pb2

from ensemble.v1 import device_pb2, devices_pb2, host_pb2, profiles_pb2
from harness import PATIENCE, DaemonTest


class Names(DaemonTest):
    def test_a_device_is_what_it_was_asked_to_be(self):
        made = self.client.create("one", labels={"suite": "nightly"})
        self.assertEqual(made.name, "devices/one")
        self.assertEqual(len(made.uid), 32)
        self.assertEqual(made.status.state, device_pb2.DEVICE_STATE_CREATED)
        self.assertEqual(self.client.get("devices/one"), made)
        self.assertEqual(self.client.get(f"devices/{made.uid[:8]}"), made)

    def test_names_are_found_where_none_is_given(self):
        self.assertEqual([self.client.create("").name for _ in range(3)],
                         ["devices/watch-1", "devices/watch-2", "devices/watch-3"])

    def test_a_name_is_taken_once(self):
        self.client.create("one")
        with self.refused(grpc.StatusCode.ALREADY_EXISTS, "'one'", reason="DEVICE_EXISTS", field="device_id"):
            self.client.create("one")
        self.assertEqual(self.client.names(), ["one"])

    def test_a_deleted_name_may_be_taken_again(self):
        first = self.client.create("one")
        self.client.delete("devices/one")
        with self.refused(grpc.StatusCode.NOT_FOUND, "one", reason="DEVICE_NOT_FOUND"):
            self.client.get("devices/one")
        self.assertNotEqual(self.client.create("one").uid, first.uid)

    def test_bad_names(self):
        for name in ("One", "1one", "one-", "a" * 64, "../x", "a b"):
            with self.refused(grpc.StatusCode.INVALID_ARGUMENT, name, field="device_id"):
                self.client.create(name)
        with self.refused(grpc.StatusCode.NOT_FOUND, "nobody"):
            self.client.get("devices/nobody")
        with self.refused(grpc.StatusCode.INVALID_ARGUMENT, "'one'", field="name"):
            self.client.get("one")
        self.assertEqual(self.client.names(), [])

    def test_bad_values_name_their_field(self):
        cases = {"device.spec.processors": {"processors": 99}, "device.spec.memory_bytes": {"memory_bytes": 1},
                 "device.spec.disk": {"disk": "relative"}, "device.spec.command": {"command": [""]},
                 "device.spec.restart.maximum_attempts": {"restart": device_pb2.Restart(maximum_attempts=5000)}}
        for field, fields in cases.items():
            with self.refused(grpc.StatusCode.INVALID_ARGUMENT, field, field=field):
                self.client.create("one", **fields)
        with self.refused(grpc.StatusCode.NOT_FOUND, "'no-such'", reason="PROFILE_NOT_FOUND"):
            self.client.create("one", profile="no-such")
        with self.refused(grpc.StatusCode.NOT_FOUND, "/etc/passwd"):
            self.client.create("one", profile="/etc/passwd")
        with self.refused(grpc.StatusCode.INVALID_ARGUMENT, "device.labels"):
            self.client.create("one", labels={"bad key": ""})
        self.assertEqual(self.client.names(), [])

    def test_long_values_are_told_shortly(self):
        for name in ("devices/" + "x" * 20000, "devices/" + "ä" * 5000, "devices/a" + "𝄞" * 3000):
            with self.refused(grpc.StatusCode.NOT_FOUND, "there is no device", reason="DEVICE_NOT_FOUND"):
                self.client.get(name)
        for name in ("ä" * 500, "a" + "𝄞" * 500, "x" * 5000):
            with self.refused(grpc.StatusCode.INVALID_ARGUMENT, reason="INVALID_ARGUMENT", field="device_id"):
                self.client.create(name)
        with self.refused(grpc.StatusCode.INVALID_ARGUMENT, field="filter"):
            self.client.names(filter="state=" + "S" * 50000)

    def test_only_reading_takes_digits_for_a_name(self):
        made = self.client.create("one")
        digits = f"devices/{made.uid[:8]}"
        self.assertEqual(self.client.get(digits), made)
        update = devices_pb2.UpdateDeviceRequest(device=device_pb2.Device(name=digits, labels={"a": "b"}),
                                                 update_mask=field_mask_pb2.FieldMask(paths=["labels"]))
        for call in (self.client.start, self.client.stop, self.client.delete,
                     lambda _: self.client.devices.UpdateDevice(update, timeout=PATIENCE)):
            with self.refused(grpc.StatusCode.NOT_FOUND, made.uid[:8], reason="DEVICE_NOT_FOUND"):
                call(digits)
        self.assertEqual(self.client.get("devices/one"), made)

    def test_nothing_is_made_when_only_asked(self):
        spec = device_pb2.DeviceSpec(profile="phone")
        self.client.devices.CreateDevice(devices_pb2.CreateDeviceRequest(
            device_id="one", device=device_pb2.Device(spec=spec), validate_only=True), timeout=PATIENCE)
        self.assertEqual(self.client.names(), [])

    def test_an_oversized_message_is_refused(self):
        with self.refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "4194304"):
            self.client.create("one", command=["x" * (5 << 20)])
        self.assertEqual(self.client.names(), [])


class Lists(DaemonTest):
    def setUp(self):
        super().setUp()
        for number in range(5):
            self.client.create(f"d{number}", labels={"odd" if number % 2 else "even": "", "n": str(number)})

    def test_pages_hold_everything_once(self):
        names, token = [], ""
        while True:
            response = self.client.devices.ListDevices(
                devices_pb2.ListDevicesRequest(page_size=2, page_token=token), timeout=PATIENCE)
            names += [device.name for device in response.devices]
            token = response.next_page_token
            if not token:
                break
        self.assertEqual(names, [f"devices/d{number}" for number in range(5)])

    def test_a_page_goes_on_behind_a_deleted_device(self):
        response = self.client.devices.ListDevices(devices_pb2.ListDevicesRequest(page_size=2), timeout=PATIENCE)
        self.client.delete("devices/d1")
        self.assertEqual(self.client.names(page_token=response.next_page_token), ["d2", "d3", "d4"])

    def test_a_page_is_never_too_large_for_a_client(self):
        for number in range(50):
            self.client.create(f"large{number}", command=["x" * 120000])
        response = self.client.devices.ListDevices(devices_pb2.ListDevicesRequest(page_size=1000), timeout=PATIENCE)
        self.assertLess(response.ByteSize(), 4 << 20)
        rest = self.client.names(page_size=1000, page_token=response.next_page_token)
        self.assertEqual(len(response.devices) + len(rest), 55)

    def test_filters(self):
        self.assertEqual(self.client.names(filter="odd"), ["d1", "d3"])
        self.assertEqual(self.client.names(filter="even,n!=2"), ["d0", "d4"])
        self.assertEqual(self.client.names(filter="state=CREATED,n=3"), ["d3"])
        self.assertEqual(self.client.names(filter="state=RUNNING"), [])

    def test_bad_lists(self):
        with self.refused(grpc.StatusCode.INVALID_ARGUMENT, "state=ASLEEP", field="filter"):
            self.client.names(filter="state=ASLEEP")
        with self.refused(grpc.StatusCode.INVALID_ARGUMENT, field="page_token"):
            self.client.names(page_token="nonsense")
        with self.refused(grpc.StatusCode.INVALID_ARGUMENT, field="page_size"):
            self.client.names(page_size=5000)

    def test_labels_can_be_changed(self):
        before = self.client.get("devices/d0")
        device = device_pb2.Device(name="devices/d0", labels={"new": "yes"}, etag=before.etag)
        request = devices_pb2.UpdateDeviceRequest(device=device, update_mask=field_mask_pb2.FieldMask(paths=["labels"]))
        after = self.client.devices.UpdateDevice(request, timeout=PATIENCE)
        self.assertEqual(dict(after.labels), {"new": "yes"})
        with self.refused(grpc.StatusCode.ABORTED, "has changed", field="etag"):
            self.client.devices.UpdateDevice(request, timeout=PATIENCE)
        request.update_mask.paths[:] = ["spec.profile"]
        with self.refused(grpc.StatusCode.INVALID_ARGUMENT, "spec.profile", field="update_mask"):
            self.client.devices.UpdateDevice(request, timeout=PATIENCE)


class Quotas(DaemonTest):
    arguments = ("--max-devices=2", "--max-memory=64M")

    def test_devices(self):
        self.client.create("one")
        self.client.create("two")
        with self.refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "--max-devices", reason="TOO_MANY_DEVICES"):
            self.client.create("three")
        self.assertEqual(self.client.names(), ["one", "two"])

    def test_memory(self):
        self.client.running("one", memory_bytes=48 << 20)
        self.client.create("two", memory_bytes=32 << 20)
        with self.refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "--max-memory", reason="TOO_MUCH_MEMORY"):
            self.client.start("devices/two")
        two = self.client.get("devices/two")
        self.assertEqual(two.status.state, device_pb2.DEVICE_STATE_CREATED)
        self.assertFalse((self.state / "devices" / two.uid).exists())
        self.client.stop("devices/one")
        self.client.start("devices/two")


class Surroundings(DaemonTest):
    arguments = ("--max-devices=7",)

    def test_the_host_is_described(self):
        self.client.running("one")
        host = self.client.host.GetHost(host_pb2.GetHostRequest(), timeout=PATIENCE)
        self.assertEqual((host.capacity.devices, host.capacity.maximum_devices), (1, 7))
        self.assertEqual(host.capacity.memory_bytes, 32 << 20)
        self.assertGreater(host.memory_available_bytes, 0)
        topology = host.topology
        self.assertGreaterEqual(topology.sockets * topology.cores_per_socket * topology.threads_per_core,
                                host.processors)
        self.assertEqual(host.memory_bytes, topology.memory_bytes)
        self.assertTrue(host.engines[0].usable)
        metrics = self.client.host.GetDeviceMetrics(
            host_pb2.GetDeviceMetricsRequest(name="devices/one"), timeout=PATIENCE)
        self.assertGreater(metrics.overhead_bytes, 0)

    def test_profiles(self):
        stub = self.client.profiles
        listed = stub.ListProfiles(profiles_pb2.ListProfilesRequest(), timeout=PATIENCE).profiles
        self.assertIn("profiles/phone", [profile.name for profile in listed])
        text = stub.GetProfile(profiles_pb2.GetProfileRequest(name="profiles/watch"), timeout=PATIENCE).text
        mine = stub.PutProfile(profiles_pb2.PutProfileRequest(name="profiles/mine", text=text), timeout=PATIENCE)
        self.assertFalse(mine.installed)
        self.client.create("one", profile="mine")
        with self.refused(grpc.StatusCode.FAILED_PRECONDITION, "mine", reason="PROFILE_IN_USE"):
            stub.DeleteProfile(profiles_pb2.DeleteProfileRequest(name="profiles/mine"), timeout=PATIENCE)
        self.client.delete("devices/one")
        stub.DeleteProfile(profiles_pb2.DeleteProfileRequest(name="profiles/mine"), timeout=PATIENCE)
        with self.refused(grpc.StatusCode.FAILED_PRECONDITION, reason="PROFILE_INSTALLED"):
            stub.DeleteProfile(profiles_pb2.DeleteProfileRequest(name="profiles/phone"), timeout=PATIENCE)
        with self.refused(grpc.StatusCode.INVALID_ARGUMENT, "mine.yaml", field="text"):
            stub.PutProfile(profiles_pb2.PutProfileRequest(name="profiles/mine", text="cpus: many"), timeout=PATIENCE)
        with self.refused(grpc.StatusCode.INVALID_ARGUMENT, "65536", field="text"):
            stub.ValidateProfile(profiles_pb2.ValidateProfileRequest(text="#" * 65537), timeout=PATIENCE)
        problems = stub.ValidateProfile(profiles_pb2.ValidateProfileRequest(text="cpus: [1"), timeout=PATIENCE).problems
        self.assertIn("profile.yaml", problems[0].message)

    def test_a_profile_of_a_client_extends_names_only(self):
        stub = self.client.profiles

        def problem(text):
            response = stub.ValidateProfile(profiles_pb2.ValidateProfileRequest(text=text), timeout=PATIENCE)
            return response.problems[0].message if response.problems else ""
        secret = self.folder / "secret.yaml"
        secret.write_text("password: xyzzy", encoding="utf-8")
        for path in (secret, "../secret.yaml", "secret.yaml", "/nonexistent/file.yml"):
            text = problem(f"extends: {path}")
            self.assertIn("expected the name of a profile", text)
        text = stub.GetProfile(profiles_pb2.GetProfileRequest(name="profiles/watch"), timeout=PATIENCE).text
        self.assertEqual(problem("extends: watch"), "")
        stub.PutProfile(profiles_pb2.PutProfileRequest(name="profiles/mine", text=text), timeout=PATIENCE)
        self.assertEqual(problem("extends: mine"), "")
        # One that hides an installed profile may extend it.
        stub.PutProfile(profiles_pb2.PutProfileRequest(name="profiles/watch", text="extends: watch"), timeout=PATIENCE)
        self.client.create("one", profile="watch")
        # What lies where the daemon was started is none.
        self.assertIn("unknown profile 'local'", problem("extends: local"))
