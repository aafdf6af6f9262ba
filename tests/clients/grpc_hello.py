"""Calls the gRPC server with grpcio, with stubs made on the spot: grpc_hello.py ADDRESS CERT_FILE KEY PROTO_FOLDER"""

import pathlib
import sys

import grpc
import stubs
from grpc_health.v1 import health_pb2, health_pb2_grpc

TIMEOUT = 10
address, cert_file, key, proto_folder = sys.argv[1:]
failures = 0


def row(name, expected, actual):
    global failures
    ok = expected == actual
    failures += not ok
    print("ok   " if ok else "FAIL ", name, repr(expected), repr(actual), sep="  ")


hello_pb2, hello_pb2_grpc = stubs.of(proto_folder)
ca = pathlib.Path(cert_file).read_bytes()
trusting = grpc.ssl_channel_credentials(root_certificates=ca)


def outcome(call, message, **how):
    """Returns what was said, or the code of the error and what is asked for."""
    try:
        return call(message, timeout=TIMEOUT, **how).message
    except grpc.RpcError as error:
        asked = [value for name, value in error.trailing_metadata() or () if name == "www-authenticate"]
        return (error.code().name, *asked)


with grpc.secure_channel(address, trusting) as channel:
    greeter = hello_pb2_grpc.GreeterStub(channel)
    world = hello_pb2.HelloRequest(name="world")
    goodbye = hello_pb2.GoodbyeRequest(name="world")
    wrong = key[:-1] + ("1" if key.endswith("0") else "0")

    with_key = outcome(greeter.SayHello, world, metadata=[("x-api-key", key)])
    row("the key as metadata", "hello, world", with_key)
    as_token = outcome(greeter.SayHello, world, metadata=[("authorization", f"Bearer {key}")])
    row("the key as a token", "hello, world", as_token)
    subject = greeter.SayHello(world, timeout=TIMEOUT, metadata=[("x-api-key", key)]).subject
    row("whom the server takes the caller for", "alice", subject)
    row(
        "no key",
        ("UNAUTHENTICATED", 'ApiKey realm="api"', 'Bearer realm="api"'),
        outcome(greeter.SayHello, world),
    )
    row(
        "a wrong key",
        ("UNAUTHENTICATED", 'ApiKey realm="api", error="invalid_token"', 'Bearer realm="api"'),
        outcome(greeter.SayHello, world, metadata=[("x-api-key", wrong)]),
    )
    lacking = outcome(greeter.SayGoodbye, goodbye, metadata=[("x-api-key", key)])
    row("a method whose scope the key lacks", "PERMISSION_DENIED", lacking[0])

    health = health_pb2_grpc.HealthStub(channel)
    for service in ["", "hello.v1.Greeter"]:
        status = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT).status
        row(f"health of {service!r}, no key", health_pb2.HealthCheckResponse.SERVING, status)

# The way that grpcio has for tokens: they belong to the channel, and are sent with each call.
token = grpc.composite_channel_credentials(trusting, grpc.access_token_call_credentials(key))
with grpc.secure_channel(address, token) as channel:
    row("the key as a token of the channel", "hello, world", outcome(hello_pb2_grpc.GreeterStub(channel).SayHello, world))

with grpc.secure_channel(address, grpc.ssl_channel_credentials()) as channel:
    refused = outcome(hello_pb2_grpc.GreeterStub(channel).SayHello, world)
    row("trusting the usual CAs only", "UNAVAILABLE", refused[0])

sys.exit(1 if failures else 0)
