"""The API without generated code: what the daemon says of itself is enough to use it."""

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from harness import GUESTS, PATIENCE, DaemonTest

FIELD = descriptor_pb2.FieldDescriptorProto


def reflection_messages():
    """The part of gRPC's reflection protocol that is needed here, by its field numbers."""
    file = descriptor_pb2.FileDescriptorProto(name="reflection_for_tests.proto", package="reflection", syntax="proto3")

    def add(name, *fields):
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            label = FIELD.LABEL_REPEATED if repeated else FIELD.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                added.type, added.type_name = FIELD.TYPE_MESSAGE, f".reflection.{kind}"
            else:
                added.type = kind

    add("Request", ("file_containing_symbol", 4, FIELD.TYPE_STRING, False),
        ("list_services", 7, FIELD.TYPE_STRING, False))
    add("Files", ("file", 1, FIELD.TYPE_BYTES, True))
    add("Service", ("name", 1, FIELD.TYPE_STRING, False))
    add("Services", ("service", 1, "Service", True))
    add("Response", ("files", 4, "Files", False), ("services", 6, "Services", False))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return [factory.GetPrototype(pool.FindMessageTypeByName(f"reflection.{name}")) for name in ("Request", "Response")]


REQUEST, RESPONSE = reflection_messages()


class Reflected:
    """A client that knows nothing but what the daemon tells."""

    def __init__(self, channel):
        self.channel = channel
        self.pool = descriptor_pool.DescriptorPool()
        self.factory = message_factory.MessageFactory(self.pool)
        self.known = set()

    def ask(self, **fields):
        call = self.channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                          request_serializer=REQUEST.SerializeToString,
                                          response_deserializer=RESPONSE.FromString)
        return next(call(iter([REQUEST(**fields)]), timeout=PATIENCE))

    def services(self):
        return {service.name for service in self.ask(list_services="*").services.service}

    def learn(self, files):
        """Adds files, each behind those that it imports."""
        def add(name):
            if name not in self.known:
                self.known.add(name)
                for imported in files[name].dependency:
                    add(imported)
                self.pool.Add(files[name])
        for name in files:
            add(name)

    def call(self, method, request):
        service_name, method_name = method.rsplit("/", 1)
        files = map(descriptor_pb2.FileDescriptorProto.FromString,
                    self.ask(file_containing_symbol=service_name).files.file)
        self.learn({file.name: file for file in files})
        found = self.pool.FindServiceByName(service_name).FindMethodByName(method_name)
        request_class = self.factory.GetPrototype(found.input_type)
        response_class = self.factory.GetPrototype(found.output_type)
        rpc = self.channel.unary_unary(f"/{method}", request_serializer=request_class.SerializeToString,
                                       response_deserializer=response_class.FromString)
        response = rpc(json_format.ParseDict(request, request_class()), timeout=PATIENCE)
        return json_format.MessageToDict(response)


class Reflection(DaemonTest):
    def test_all_services_are_named(self):
        self.assertLessEqual({f"ensemble.v1.{name}" for name in ("Devices", "Operations", "Console", "Exec",
                                                                 "Files", "Logs", "Metrics", "Profiles", "Host")} | {"grpc.health.v1.Health"},
                             Reflected(self.client.channel).services())

    def test_a_device_can_be_made_started_and_deleted(self):
        client = Reflected(self.client.channel)
        made = client.call("ensemble.v1.Devices/CreateDevice", {
            "deviceId": "one", "device": {"labels": {"a": "b"}, "spec": {
                "profile": "watch", "kernel": f"{GUESTS}/loop.elf", "memoryBytes": str(32 << 20)}}})
        self.assertEqual(made["status"]["state"], "DEVICE_STATE_CREATED")
        metrics, = client.call("ensemble.v1.Metrics/ListDeviceMetrics", {"filter": "a=b"})["metrics"]
        self.assertEqual((metrics["name"], metrics["uid"]), ("devices/one", made["uid"]))
        for verb, request in (("Start", {}), ("Stop", {}), ("Delete", {})):
            operation = client.call(f"ensemble.v1.Devices/{verb}Device", {"name": "devices/one", **request})
            ended = client.call("ensemble.v1.Operations/WaitOperation", {"name": operation["name"], "timeout": "30s"})
            self.assertTrue(ended["done"])
            self.assertNotIn("error", ended)
        self.assertEqual(client.call("ensemble.v1.Devices/ListDevices", {}), {})

    def test_the_daemon_says_that_it_is_well(self):
        call = self.client.channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=bytes,
                                               response_deserializer=bytes)
        serving = b"\x08\x01"
        self.assertEqual(call(b"", timeout=PATIENCE), serving)
        with self.assertRaises(grpc.RpcError) as caught:
            call(b"\x0a\x04none", timeout=PATIENCE)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)
