"""Callers' mistakes and attacks on a real host: each has its documented answer, and the host serves on."""

import base64
import json
import os
import random
import re
import socket
import time

import pytest

from conftest import ARN, ROLE, make_zip, wait_until
from refusals import FUNCTIONS, INVOKE, MISSING, assert_refused, create, host, serves_on


@pytest.fixture(scope="module", autouse=True)
def stuck(host):
    """A client that stops in the middle of its head while the other tests of this file run."""
    with host.raw(seconds=20) as raw:
        raw.send("GET /healthz HTTP/1.1\r\nHost: localh")
        raw.began = time.monotonic()
        yield raw


# MARK: requests

@pytest.mark.parametrize("method, path, body, status, error", [
    ("POST", INVOKE, b"{not json", 400, "InvalidRequestContentException"),
    ("POST", INVOKE, b'{"a": "\xff"}', 400, "InvalidRequestContentException"),
    ("POST", INVOKE, b"[" * 100_000, 400, "InvalidRequestContentException"),
    ("POST", FUNCTIONS + "/nowhere/invocations", b"{}", 404, "ResourceNotFoundException"),
    ("POST", INVOKE + "?Qualifier=nowhere", b"{}", 404, "ResourceNotFoundException"),
    ("POST", INVOKE + "?Qualifier=99", b"{}", 404, "ResourceNotFoundException"),
    ("POST", INVOKE + "?Qualifier=%ff", b"{}", 400, "ValidationException"),
    ("POST", FUNCTIONS + "/..%2F..%2Fetc/invocations", b"{}", 400, "ValidationException"),
    ("POST", FUNCTIONS + "/%00/invocations", b"{}", 400, "ValidationException"),
    ("GET", FUNCTIONS + "/nowhere", None, 404, "ResourceNotFoundException"),
    ("GET", FUNCTIONS + "/echo/aliases/nowhere", None, 404, "ResourceNotFoundException"),
    ("GET", FUNCTIONS + "?MaxItems=many", None, 400, "SerializationException"),
    ("GET", FUNCTIONS + "?MaxItems=0", None, 400, "ValidationException"),
    ("GET", FUNCTIONS + "?MaxItems=99999999999999999999", None, 400, "SerializationException"),
    ("GET", FUNCTIONS + "?Marker=%00", None, 400, "InvalidParameterValueException"),
    ("POST", FUNCTIONS, b"{", 400, "InvalidRequestContentException"),
    ("POST", FUNCTIONS, b"[]", 400, "SerializationException"),
    ("POST", FUNCTIONS, b"{}", 400, "ValidationException"),
    ("POST", FUNCTIONS, b'{"FunctionName": 1}', 400, "SerializationException"),
    ("POST", FUNCTIONS, create(Code="text"), 400, "SerializationException"),
    ("POST", FUNCTIONS, create(Code={"ZipFile": "not base 64"}), 400, "SerializationException"),
    ("POST", FUNCTIONS, create(Timeout="3"), 400, "SerializationException"),
    ("POST", FUNCTIONS, create(Timeout=0), 400, "ValidationException"),
    ("POST", FUNCTIONS, create(Timeout=2.5), 400, "SerializationException"),
    ("POST", FUNCTIONS, create(MemorySize=1), 400, "ValidationException"),
    ("POST", FUNCTIONS, create(Unknown=1), 400, "InvalidParameterValueException"),
    ("POST", FUNCTIONS, create(Runtime=None), 400, "InvalidParameterValueException"),
    ("POST", FUNCTIONS + "/echo/aliases",
     {"Name": "a", "FunctionVersion": "1", "RoutingConfig": {"AdditionalVersionWeights": {"2": -1}}},
     400, "ValidationException"),
    ("PUT", FUNCTIONS + "/echo/configuration", {"Description": 1}, 400, "SerializationException"),
    ("PUT", FUNCTIONS + "/echo/code", {}, 400, "InvalidParameterValueException"),
    ("PUT", "/2017-10-31/functions/echo/concurrency", {}, 400, "ValidationException"),
    ("PUT", "/2017-10-31/functions/echo/concurrency", {"ReservedConcurrentExecutions": -1}, 400, "ValidationException"),
    ("GET", "/2025-12-01/durable-executions/nonsense", None, 400, "ValidationException"),
    ("GET", "/2025-12-01/functions/echo/durable-executions?Statuses=BAD", None, 400, "ValidationException"),
    ("GET", "/2025-12-01/functions/echo/durable-executions?StartedAfter=soon", None, 400, "SerializationException"),
    ("POST", "/roost/v1/functions/echo/aliases/nowhere/rollback", {}, 404, "ResourceNotFoundException"),
    ("POST", "/roost/v1/functions/echo/aliases/live/rollback", {}, 409, "NothingToRollBack"),
    ("POST", "/roost/v1/functions/echo/aliases/live/rollback", {"Wy": "x"}, 400, "InvalidParameterValueException"),
    ("GET", "/roost/v1/functions/nowhere/versions", None, 404, "ResourceNotFoundException"),
    ("GET", "/roost/v1/functions/nowhere/logs", None, 404, "ResourceNotFoundException"),
    ("GET", "/roost/v1/functions/echo/logs?lines=-1", None, 400, "ValidationException"),
    ("GET", "/roost/v1/executions/nowhere", None, 404, "ResourceNotFoundException"),
    ("GET", "/roost/v1/executions?status=BAD", None, 400, "ValidationException"),
    ("POST", "/roost/v1/executions/nowhere/stop", {}, 404, "ResourceNotFoundException"),
    ("PUT", "/roost/v1/artifacts/sha256:abc", b"x", 400, "InvalidParameterValueException"),
    ("PUT", "/roost/v1/artifacts/" + MISSING, b"x", 400, "DigestMismatch"),
    ("PUT", "/roost/v1/manifests/" + MISSING, b"x", 400, "DigestMismatch"),
    ("POST", "/roost/v1/artifacts/missing", {"Digests": ["x"]}, 400, "InvalidParameterValueException"),
    ("POST", "/roost/v1/deployments", {}, 400, "ValidationException"),
], ids=lambda value: value if isinstance(value, str) and len(value) < 100 else "")
def test_a_mistake_has_its_error(host, method, path, body, status, error):
    assert_refused(host.request(method, path, body), status, error)


@pytest.mark.parametrize("path", [
    "/nothing", "/2015-03-31", "/2015-03-31/functions/echo/nothing", "/2015-03-30/functions", "/roost/v2/workers",
    "/roost/v1", "/roost/v1/nothing", "//2015-03-31/functions", "/2015-03-31%2Ffunctions", "/healthz/", "/%2e%2e/etc",
    "/2018-10-31/layers", "/2015-03-31/functions/echo/aliases/live/more",
])
def test_a_path_that_is_not_there(host, path):
    for method in ("GET", "POST", "DELETE"):
        assert_refused(host.request(method, path), 404, "UnknownOperationException")


@pytest.mark.parametrize("method, path", [
    ("DELETE", FUNCTIONS), ("GET", INVOKE), ("PUT", INVOKE), ("PATCH", FUNCTIONS + "/echo"),
    ("POST", FUNCTIONS + "/echo/code"), ("POST", FUNCTIONS + "/echo/aliases/live"), ("OPTIONS", FUNCTIONS),
])
def test_a_verb_that_a_path_of_the_lambda_api_does_not_take(host, method, path):
    assert_refused(host.request(method, path), 404, "UnknownOperationException")


@pytest.mark.parametrize("method, path, allowed", [
    ("POST", "/healthz", {"GET", "HEAD"}), ("DELETE", "/metrics", {"GET", "HEAD"}),
    ("DELETE", "/roost/v1/workers", {"GET"}), ("GET", "/roost/v1/artifacts/" + MISSING, {"PUT"}),
    ("PUT", "/roost/v1/executions/x", {"GET", "DELETE"}),
])
def test_a_verb_that_a_path_of_our_own_does_not_take(host, method, path, allowed):
    answer = host.request(method, path)
    assert answer.status == 405
    assert set(answer.headers["Allow"].split(", ")) == allowed


def test_head_has_no_body(host):
    with host.raw() as raw:
        raw.send("HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = raw.answer("HEAD")
        assert (head.status, head.headers["Content-Length"], head.body) == (200, "3", b"")


@pytest.mark.parametrize("path, limit", [
    (INVOKE, 6 << 20), (FUNCTIONS + "/echo/aliases", 1 << 20), ("/roost/v1/deployments", 1 << 20)])
@pytest.mark.parametrize("chunked", [False, True], ids=["fixed", "chunked"])
def test_a_body_that_is_too_large(host, path, limit, chunked):
    error = "RequestTooLargeException" if path == INVOKE else "RequestEntityTooLargeException"
    with host.raw() as raw:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n"
        if chunked:
            raw.send(head + "Transfer-Encoding: chunked\r\n\r\n")
            piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
            for _ in range(limit // 0x10000 + 1):
                raw.send(piece)
            raw.send(b"0\r\n\r\n")
        else:
            # The answer comes before the body.
            raw.send(head + f"Content-Length: {limit + 1}\r\n\r\n")
        assert_refused(raw.answer(), 413, error)


# MARK: old clients

def test_http_1_0_is_spoken(host):
    with host.raw() as raw:
        raw.send(f"POST {INVOKE} HTTP/1.0\r\nContent-Length: 3\r\n\r\n[1]")
        answer = raw.answer()
        assert (answer.status, answer.json) == (200, [1])
        raw.expect_end()
    with host.raw() as raw:
        for _ in range(2):
            raw.send("GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert raw.answer().body == b"ok\n"


def test_what_operators_ask(host):
    assert host.request("GET", "/healthz").body == b"ok\n"
    assert host.request("GET", "/readyz").body == b"ready\n"
    assert host.request("GET", "/").json["name"] == "Roost"
    metrics = host.request("GET", "/metrics")
    assert metrics.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    sample = re.compile(r'[a-z_]+(\{([a-z_]+="[^"]*",?)*\})? ([0-9.e+-]+|\+Inf)')
    for line in metrics.body.decode().splitlines():
        assert line.startswith("#") or sample.fullmatch(line), line
    report = host.request("GET", "/roost/v1/host").json
    assert report["Sandbox"]["Mode"] == "bubblewrap" and all(check["Ok"] for check in report["Checks"])


# MARK: web pages

@pytest.mark.parametrize("fields", [
    "Host: localhost\r\nOrigin: http://evil.example", "Host: localhost\r\nOrigin: null",
    "Host: 127.0.0.1\r\nOrigin: http://127.0.0.1", "Host: evil.example", "Host: 127.0.0.1.evil.example",
    "Host: 192.168.0.1", "Host: 0.0.0.0", "Host: localhost.evil.example", "Host: [::2]",
])
@pytest.mark.parametrize("line", ["GET /healthz", "POST " + INVOKE, "GET " + FUNCTIONS, "PUT /roost/v1/artifacts/x"])
def test_what_a_web_page_could_have_sent_is_forbidden(host, line, fields):
    with host.raw() as raw:
        raw.send(f"{line} HTTP/1.1\r\n{fields}\r\nContent-Length: 0\r\n\r\n")
        answer = raw.answer()
        assert (answer.status, answer.error) == (403, "AccessDeniedException")


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "LOCALHOST:80", "127.1.2.3:1", "[::1]", "[::1]:7070"])
def test_names_of_loopback_are_let_in(host, name):
    with host.raw() as raw:
        raw.send(f"GET /healthz HTTP/1.1\r\nHost: {name}\r\n\r\n")
        assert raw.answer().status == 200


# MARK: bytes

def post(fields, body=""):
    return f"POST {INVOKE} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n{body}"


SMUGGLED = f"DELETE {FUNCTIONS}/echo HTTP/1.1\r\nHost: localhost\r\n\r\n"
SHAPES = {
    "both lengths": post(f"Content-Length: {len(SMUGGLED) + 5}\r\nTransfer-Encoding: chunked", "0\r\n\r\n" + SMUGGLED),
    "two lengths": post("Content-Length: 2\r\nContent-Length: 0", "{}" + SMUGGLED),
    "two equal lengths": post("Content-Length: 2\r\nContent-Length: 2", "{}" + SMUGGLED),
    "a list of lengths": post("Content-Length: 2, 2", "{}" + SMUGGLED),
    "a signed length": post("Content-Length: +2", "{}" + SMUGGLED),
    "an enormous length": post("Content-Length: 18446744073709551618", "{}" + SMUGGLED),
    "two codings": post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "0\r\n\r\n" + SMUGGLED),
    "an unknown coding": post("Transfer-Encoding: xchunked", "0\r\n\r\n" + SMUGGLED),
    "chunked and blanks": post("Transfer-Encoding : chunked", "0\r\n\r\n" + SMUGGLED),
    "chunked twice": post("Transfer-Encoding: chunked, chunked", "0\r\n\r\n" + SMUGGLED),
    "a folded field": post("X: y\r\n Transfer-Encoding: chunked", "0\r\n\r\n" + SMUGGLED),
    "chunked on HTTP/1.0": post("Transfer-Encoding: chunked", "0\r\n\r\n" + SMUGGLED).replace("1.1", "1.0", 1),
    "a bad chunk size": post("Transfer-Encoding: chunked", "0x2\r\n{}\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk longer than its size": post("Transfer-Encoding: chunked", "1\r\n{}\r\n0\r\n\r\n" + SMUGGLED),
    "a bare LF in the chunks": post("Transfer-Encoding: chunked", "2\n{}\r\n0\r\n\r\n" + SMUGGLED),
    "bare LFs": post("Content-Length: 2", "{}" + SMUGGLED).replace("\r\n", "\n", 2),
    "a bare CR in a value": post("X: a\rb\r\nContent-Length: 2", "{}" + SMUGGLED),
    "no Host": post("Content-Length: 2", "{}" + SMUGGLED).replace("Host: localhost\r\n", "", 1),
    "two Hosts": post("Host: localhost\r\nContent-Length: 2", "{}" + SMUGGLED),
    "NUL in a value": post("X: a\0b\r\nContent-Length: 2", "{}" + SMUGGLED),
    "a space in the target": f"POST {INVOKE} x HTTP/1.1\r\nHost: localhost\r\n\r\n" + SMUGGLED,
    "an absolute target": f"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" + SMUGGLED,
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_could_be_read_in_two_ways_is_refused_and_ends_the_connection(host, shape):
    with host.raw() as raw:
        raw.send(SHAPES[shape])
        answer = raw.answer()
        assert answer.status == 400, answer.body
        # Nothing behind it was taken for a request.
        raw.expect_end()


@pytest.mark.parametrize("request_bytes", [
    f"GET /{'a' * 17000} HTTP/1.1\r\nHost: localhost\r\n\r\n",
    f"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {'a' * 17000}\r\n\r\n",
    "GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + "a: b\r\n" * 3000 + "\r\n", "a" * 20000,
], ids=["target", "field", "fields", "line"])
def test_a_head_that_is_too_large(host, request_bytes):
    with host.raw() as raw:
        raw.send(request_bytes)
        assert raw.answer().status == 431


def test_a_method_and_a_version_that_nobody_speaks(host):
    for line, status in (("BREW / HTTP/1.1", 501), ("GET / HTTP/2.0", 505)):
        with host.raw() as raw:
            raw.send(f"{line}\r\nHost: localhost\r\n\r\n")
            assert raw.answer().status == status


def test_requests_in_one_piece_are_answered_in_their_order(host):
    with host.raw() as raw:
        bodies = [json.dumps({"n": n}) for n in range(20)]
        raw.send("".join(post(f"Content-Length: {len(body)}", body) for body in bodies))
        assert [raw.answer().json for _ in bodies] == [{"n": n} for n in range(20)]


def test_a_client_that_asks_before_it_sends(host):
    with host.raw() as raw:
        raw.send(post("Content-Length: 2\r\nExpect: 100-continue"))
        assert raw.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.send("{}")
        assert raw.answer().json == {}
        # And one whose body is not wanted.
        raw.send(post(f"Content-Length: {7 << 20}\r\nExpect: 100-continue"))
        assert raw.answer().status == 413


# MARK: slow and vanishing clients

def test_slow_clients_hold_up_nobody(host):
    slow = [host.raw() for _ in range(50)]
    try:
        for index, raw in enumerate(slow):
            # Some stop in the head, some in the body.
            raw.send(post("Content-Length: 10", '{"a"')[:-1 - index])
        for _ in range(5):
            assert host.request("POST", INVOKE, b"[1]").json == [1]
        # One byte at a time is slow, and no error.
        with host.raw() as raw:
            for byte in post("Content-Length: 7", '{"a":1}').encode():
                raw.send(bytes([byte]))
            assert raw.answer().json == {"a": 1}
    finally:
        for raw in slow:
            raw.close()


def descriptors(host):
    return len(os.listdir(f"/proc/{host.process.pid}/fd"))


def test_clients_that_vanish_leave_nothing(host):
    host.request("POST", INVOKE, b"{}")
    before = descriptors(host)
    package = base64.b64encode(make_zip({"function.py": "x"})).decode()
    texts = [
        post("Content-Length: 100", '{"a"'), post("Transfer-Encoding: chunked", "5\r\n{"), "POST /2015",
        post("Content-Length: 2", "{}"), "PUT /roost/v1/artifacts/" + MISSING
        + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n" + "x" * 300_000,
        f"POST {FUNCTIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n\r\n" + package,
        f"GET /roost/v1/functions/echo/logs?follow=true HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ]
    for reset in (False, True):
        for text in texts * 5:
            raw = host.raw()
            raw.send(text)
            if reset:
                raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            raw.close()
    wait_until(lambda: descriptors(host) <= before, f"{before} descriptors again")
    uploads = [path for path in host.data.rglob("*") if path.is_file() and path.stat().st_size >= 300_000]
    assert not [path for path in uploads if path.read_bytes()[:100] == b"x" * 100]


COUNTER = """
import time

runs = 0

def handler(event, context):
    global runs
    runs += 1
    time.sleep(event)
    return runs
"""


def test_a_client_that_leaves_does_not_stop_the_function(host):
    client = host.client()
    client.create_function(
        FunctionName="slow", Role=ROLE, Runtime="python3", Handler="function.handler", Timeout=20,
        Code={"ZipFile": make_zip({"function.py": COUNTER})})
    client.put_function_concurrency(FunctionName="slow", ReservedConcurrentExecutions=1)
    assert client.invoke(FunctionName="slow", Payload=b"0")["Payload"].read() == b"1"
    with host.raw() as raw:
        raw.send(f"POST {FUNCTIONS}/slow/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n0.5")
        wait_until(lambda: any(worker["State"] == "busy" for worker in host.workers("slow")), "a busy worker")
    # The same worker goes on, and had the call that nobody waited for.
    assert client.invoke(FunctionName="slow", Payload=b"0")["Payload"].read() == b"3"


def test_a_client_that_reads_nothing_costs_one_answer(host):
    with host.raw() as raw:
        raw.socket.setblocking(False)
        body = json.dumps("x" * 1_000_000)
        request = post(f"Content-Length: {len(body)}", body).encode()
        sent = 0
        # As much as the kernel and the host take; the host must stop taking.
        for _ in range(200):
            try:
                sent += raw.socket.send(request[sent % len(request):])
            except BlockingIOError:
                break
            assert host.request("GET", "/healthz").status == 200
        assert sent < 60 * len(request)


# MARK: chance

def random_request(chance):
    """A request that is well-formed HTTP, and otherwise anything."""
    names = ["echo", "echo:live", "echo:1", "nowhere", ARN + "echo", "function:echo", "%00", "..", "a" * 300,
             "%E4%B8%96", "$LATEST", "", "echo%2F", "live", "1", MISSING, "missing"]
    parts = ["2015-03-31", "functions", "invocations", "aliases", "versions", "code", "configuration", "2025-12-01",
             "durable-executions", "history", "2017-10-31", "2019-09-30", "concurrency", "roost", "v1", "executions",
             "events", "artifacts", "manifests", "logs", "workers", "host", "deployments", "rollback", "metrics",
             "healthz"]
    shapes = [
        ["2015-03-31", "functions"], ["2015-03-31", "functions", None], ["2015-03-31", "functions", None, "code"],
        ["2015-03-31", "functions", None, "configuration"], ["2015-03-31", "functions", None, "invocations"],
        ["2015-03-31", "functions", None, "versions"], ["2015-03-31", "functions", None, "aliases"],
        ["2015-03-31", "functions", None, "aliases", None], ["2017-10-31", "functions", None, "concurrency"],
        ["2025-12-01", "functions", None, "durable-executions"], ["2025-12-01", "durable-executions", None],
        ["2025-12-01", "durable-executions", None, "history"], ["roost", "v1", "artifacts", None],
        ["roost", "v1", "manifests", None], ["roost", "v1", "deployments"],
        ["roost", "v1", "executions", None, "events"],
        ["roost", "v1", "functions", None, "versions"], ["roost", "v1", "functions", None, "logs"],
        ["roost", "v1", "functions", None, "aliases", None, "rollback"],
    ]
    if chance.random() < 0.85:
        segments = [part or chance.choice(names) for part in chance.choice(shapes)]
    else:
        segments = [chance.choice(names + parts) for _ in range(chance.randrange(7))]
    method = chance.choice(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
    if method == "DELETE" and len(segments) == 3:
        method = "GET"  # the function is still needed
    keys = ["Qualifier", "Marker", "MaxItems", "FunctionVersion", "Statuses", "lines", "ReverseOrder", "after", "%00",
            ""]
    values = ["", "1", "live", "ALL", "-1", "true", "%FF", "%00", "9" * 30, "MTIz", "x" * 200, "a=b"]
    query = "&".join(f"{chance.choice(keys)}={chance.choice(values)}" for _ in range(chance.randrange(3)))
    if "concurrency" in segments and method == "PUT":
        query = ""
    value = chance.choice([
        1, -1, 1.5, "", "x", "1", "live", None, True, [], {}, {"a": 1}, "\ud800", "世界", 1 << 70, "x" * 300, "$LATEST",
        ["x"]])
    fields = ["FunctionName", "Role", "Code", "Runtime", "Handler", "Timeout", "MemorySize", "Environment", "Publish",
              "ZipFile", "Name", "FunctionVersion", "RoutingConfig", "Description", "RevisionId", "Manifest", "Package",
              "Model", "Digests", "Why", "CodeSha256", "DryRun", "Architectures", "Layers", "Unknown"]
    document = {field: value if chance.random() < 0.3 else chance.choice(["x", 1, {}, None, "1", ROLE, True])
                for field in chance.sample(fields, chance.randrange(6))}
    if "PUT" == method and "concurrency" in segments:
        document["ReservedConcurrentExecutions"] = "many"
    body = chance.choice([
        b"", json.dumps(document).encode(), json.dumps(value).encode(), json.dumps(create(**document)).encode(),
        chance.randbytes(chance.randrange(200)), b"{", b"PK\x03\x04" + chance.randbytes(50)])
    headers = {"Host": "localhost", "Content-Length": str(len(body))}
    for name in chance.sample(["X-Amz-Invocation-Type", "X-Amz-Log-Type", "X-Amz-Client-Context", "Content-Type",
                               "X-Amz-Durable-Execution-Name", "X-Amzn-Trace-Id", "Expect", "Connection", "Accept",
                               "X-Amz-Tenant-Id", "Authorization", "amz-sdk-invocation-id"], chance.randrange(4)):
        headers[name] = chance.choice([
            "", "Event", "DryRun", "Tail", "e30=", "100-continue", "close", "x" * 500, "\xff\xfe", "Root=1-x", "a b",
            "0"])
    if chance.random() < 0.3 and headers.get("Expect") != "100-continue":
        headers.pop("Content-Length")
        headers["Transfer-Encoding"] = "chunked"
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    path = "/" + "/".join(segments) + ("?" + query if query else "")
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return method, head.encode("latin-1") + b"\r\n" + body


@pytest.mark.parametrize("seed", range(4))
def test_no_request_is_a_fault_of_the_host(host, seed):
    chance = random.Random(seed)
    seen = set()
    for _ in range(150):
        method, request = random_request(chance)
        with host.raw() as raw:
            raw.send(request)
            answer = raw.answer(method)
        assert answer.status < 500, (request, answer.status, answer.body)
        seen.add(answer.status)
        if answer.status >= 400 and method != "HEAD" and answer.status != 417:
            assert answer.body and answer.error, (request, answer.status, answer.body)
    assert {200, 400, 404, 405} <= seen


@pytest.mark.parametrize("seed", range(2))
def test_no_bytes_are_a_fault_of_the_host(host, seed):
    """Good requests with some bytes changed, dropped or doubled."""
    chance = random.Random(seed)
    for _ in range(150):
        data = bytearray(random_request(chance)[1])
        for _ in range(chance.randrange(1, 5)):
            at = chance.randrange(len(data))
            match chance.randrange(3):
                case 0: data[at] = chance.randrange(256)
                case 1: del data[at:at + chance.randrange(1, 4)]
                case 2: data[at:at] = data[at:at + chance.randrange(1, 20)]
        with host.raw() as raw:
            raw.send(bytes(data))
            raw.socket.shutdown(socket.SHUT_WR)
            received = b""
            try:
                while piece := raw.socket.recv(65536):
                    received += piece
            except ConnectionResetError:
                pass
        # It may end without an answer, when the request is not whole.
        if received:
            status = int(received.split(b" ", 2)[1])
            assert status < 500 or status in (501, 505), (bytes(data), received)


def test_a_head_that_does_not_arrive_is_given_up_after_ten_seconds(stuck):
    answer = stuck.answer()
    assert answer.status == 408
    stuck.expect_end()
    if time.monotonic() - stuck.began < 9.9:
        pytest.fail("that was early")
