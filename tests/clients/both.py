"""Calls the server of both protocols with requests and grpcio: both.py URL CERT_FILE KEY TOKEN PROTO_FOLDER"""

import pathlib
import sys

import grpc
import requests
import stubs

TIMEOUT = 10
url, cert_file, key, token, proto_folder = sys.argv[1:]
failures = 0


def row(name, expected, actual):
    global failures
    ok = expected == actual
    failures += not ok
    print("ok   " if ok else "FAIL ", name, repr(expected), repr(actual), sep="  ")


hello_pb2, hello_pb2_grpc = stubs.of(proto_folder)
world = hello_pb2.HelloRequest(name="world")


def get(path, **headers):
    return requests.get(url + path, verify=cert_file, headers=headers, timeout=TIMEOUT)


def outcome(call, message, *metadata):
    """Returns who was greeted, or the code of the error and what is asked for."""
    try:
        return call(message, timeout=TIMEOUT, metadata=metadata).subject
    except grpc.RpcError as error:
        asked = [value for name, value in error.trailing_metadata() or () if name == "www-authenticate"]
        return (error.code().name, *asked)


trusting = grpc.ssl_channel_credentials(root_certificates=pathlib.Path(cert_file).read_bytes())
address = url.removeprefix("https://")
with grpc.secure_channel(address, trusting) as channel:
    greeter = hello_pb2_grpc.GreeterStub(channel)
    bearer = f"Bearer {token}"
    may = "and may: greeter:hello\n"

    row("HTTP, the key", f"you are alice, by api-key, {may}", get("/me", **{"x-api-key": key}).text)
    row("gRPC, the key", "alice", outcome(greeter.SayHello, world, ("x-api-key", key)))
    row("HTTP, the token", f"you are alice, by bearer, {may}", get("/me", Authorization=bearer).text)
    row("gRPC, the token", "alice", outcome(greeter.SayHello, world, ("authorization", bearer)))

    nobody = get("/me")
    row("HTTP, neither", (401, "application/problem+json"), (nobody.status_code, nobody.headers.get("content-type")))
    row("HTTP, neither: what is asked for", 'ApiKey realm="api", Bearer realm="api"', nobody.headers["www-authenticate"])
    row(
        "gRPC, neither",
        ("UNAUTHENTICATED", 'ApiKey realm="api"', 'Bearer realm="api"'),
        outcome(greeter.SayHello, world),
    )
    row(
        "gRPC, a token with another signature",
        ("UNAUTHENTICATED", 'ApiKey realm="api"', 'Bearer realm="api", error="invalid_token"'),
        outcome(greeter.SayHello, world, ("authorization", f"{bearer[:-4]}AAAA")),
    )
    two = [("x-api-key", key), ("authorization", bearer)]
    row("HTTP, both", 400, get("/me", **dict(two)).status_code)
    row("gRPC, both", "UNAUTHENTICATED", outcome(greeter.SayHello, world, *two)[0])

    goodbye = hello_pb2.GoodbyeRequest(name="world")
    row("HTTP, a scope that the token lacks", 403, get("/goodbye", Authorization=bearer).status_code)
    lacking = outcome(greeter.SayGoodbye, goodbye, ("authorization", bearer))
    row("gRPC, a scope that the token lacks", "PERMISSION_DENIED", lacking[0])

# The way that grpcio has for tokens: they belong to the channel, and are sent with each call.
with_token = grpc.composite_channel_credentials(trusting, grpc.access_token_call_credentials(token))
with grpc.secure_channel(address, with_token) as channel:
    row("gRPC, the token of the channel", "alice", outcome(hello_pb2_grpc.GreeterStub(channel).SayHello, world))

sys.exit(1 if failures else 0)
