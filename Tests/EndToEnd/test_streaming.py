"""Streamed responses: the frames, what comes when, who waits for whom, and every way a stream can end."""

import base64
import concurrent.futures
import json
import os
import socket
import struct
import subprocess
import time
from random import Random

import botocore.eventstream
import pytest

from conftest import BINARY, make_zip, wait_until

# A worker of a foreign runtime, which speaks the Runtime API by hand and streams what its event asks for.
BOOTSTRAP = '''#!/usr/bin/python3
import base64, http.client, json, os, sys, time

WORKER = os.urandom(8).hex()
api = os.environ["AWS_LAMBDA_RUNTIME_API"]
connection = http.client.HTTPConnection(api)

def body(event):
    for item in event["items"]:
        if isinstance(item, (int, float)):
            time.sleep(item)
        elif item == "WORKER":
            yield WORKER.encode()
        elif item == "exit":
            os._exit(3)
        elif isinstance(item, list):
            count, size = item
            for n in range(count):
                yield bytes(size)
                print("sent", (n + 1) * size, flush=True)
        else:
            yield item.encode()

while True:
    connection.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = connection.getresponse()
    event = json.loads(answer.read())
    request = answer.headers["Lambda-Runtime-Aws-Request-Id"]
    path = f"/2018-06-01/runtime/invocation/{request}"
    if event.get("plain"):
        connection.request("POST", path + "/response", json.dumps(event))
    elif event.get("error"):
        connection.request("POST", path + "/error", json.dumps({"errorType": "Sad", "errorMessage": "no"}))
    else:
        connection.putrequest("POST", path + "/response", skip_accept_encoding=True)
        connection.putheader("Content-Type", "application/octet-stream")
        connection.putheader("Lambda-Runtime-Function-Response-Mode", event.get("mode", "streaming"))
        connection.putheader("Transfer-Encoding", "chunked")
        connection.putheader("Trailer", "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body")
        connection.endheaders()
        for chunk in body(event):
            connection.send(b"%x\\r\\n%s\\r\\n" % (len(chunk), chunk))
        end = b"0\\r\\n"
        if event.get("drops"):
            connection.close()
            connection = http.client.HTTPConnection(api)
            connection.request("POST", path + event["drops"], json.dumps({"errorType": "Again", "errorMessage": "no"}))
            connection.getresponse().read()
            continue
        if event.get("fails"):
            error = json.dumps({"errorType": "Late", "errorMessage": "broke off", "stackTrace": ["x" * 20000]})
            end += b"Lambda-Runtime-Function-Error-Type: Late\\r\\n"
            end += b"Lambda-Runtime-Function-Error-Body: " + base64.b64encode(error.encode()) + b"\\r\\n"
        connection.send(end + b"\\r\\n")
    answer = connection.getresponse()
    if answer.status == 400:
        os._exit(4)
    answer.read()
'''

# The same as a function of the Python runtime.
HANDLER = '''
import json, os, time
WORKER = os.urandom(8).hex()

def handler(event, context):
    if event.get("plain"):
        return event
    if event.get("error"):
        raise ValueError("no")
    return stream(event, context)

def stream(event, context):
    try:
        for item in event["items"]:
            if isinstance(item, (int, float)):
                time.sleep(item)
            elif item == "WORKER":
                yield WORKER
            elif item == "exit":
                os._exit(3)
            elif isinstance(item, list):
                count, size = item
                for n in range(count):
                    yield bytes(size)
                    print("sent", (n + 1) * size, flush=True)
            else:
                yield item
        if event.get("fails"):
            raise RuntimeError("broke off")
    finally:
        print("closed", flush=True)
'''


@pytest.fixture(scope="module", params=["python3", "provided"])
def function(request, host, lambda_client):
    """One function of each kind of runtime, that all tests share."""
    name = "stream-" + request.param
    files = {"function.py": HANDLER} if request.param == "python3" else {"bootstrap": BOOTSTRAP}
    lambda_client.create_function(
        FunctionName=name, Role="arn:aws:iam::000000000000:role/roost", Runtime=request.param, Timeout=20,
        Handler="function.handler", Code={"ZipFile": make_zip(files, ["bootstrap"])},
        Environment={"Variables": {"ROOST_INIT_TIMEOUT": "60"}})
    return name


def events(client, name, event, **options):
    """The response and an iterator over its events."""
    response = client.invoke_with_response_stream(FunctionName=name, Payload=json.dumps(event), **options)
    return response, iter(response["EventStream"])


def whole(client, name, event, **options):
    """The bytes of all chunks, and the last event."""
    response, stream = events(client, name, event, **options)
    chunks, end = [], None
    for item in stream:
        assert end is None, "an event after the last one"
        if "PayloadChunk" in item:
            chunks.append(item["PayloadChunk"]["Payload"])
        else:
            end = item["InvokeComplete"]
    assert end is not None, "the stream has no end"
    return response, b"".join(chunks), end


def worker(client, name):
    return whole(client, name, {"items": ["WORKER"]})[1]


def log(host, name):
    return host.request("GET", f"/roost/v1/functions/{name}/logs?lines=100000").body.decode()


def test_chunks_come_while_the_function_runs(host, lambda_client, function):
    worker(lambda_client, function)
    response, stream = events(lambda_client, function, {"items": ["first", 1.5, "second"]})
    assert response["ExecutedVersion"] == "$LATEST" and response["StatusCode"] == 200
    assert response["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"
    assert response["ResponseMetadata"]["HTTPHeaders"]["x-amzn-trace-id"].startswith("Root=1-")
    assert next(stream)["PayloadChunk"]["Payload"] == b"first"
    assert [it["State"] for it in host.workers(function)] == ["busy"]
    assert [next(iter(it)) for it in stream] == ["PayloadChunk", "InvokeComplete"]


def test_every_byte_arrives_once(lambda_client, function):
    _, chunks, end = whole(lambda_client, function, {"items": ["a", [300, 65536], "z"]})
    assert len(chunks) == 300 * 65536 + 2 and chunks[:1] == b"a" and chunks[-1:] == b"z"
    assert end == {}
    # One that yields nothing is a stream, too.
    assert whole(lambda_client, function, {"items": []})[1:] == (b"", {})


def test_a_function_that_does_not_stream(lambda_client, function):
    response, chunks, end = whole(lambda_client, function, {"plain": True, "text": "é"})
    assert json.loads(chunks) == {"plain": True, "text": "é"} and end == {}


def test_an_error_before_the_first_chunk(lambda_client, function):
    _, chunks, end = whole(lambda_client, function, {"error": True})
    assert chunks == b"" and end["ErrorCode"] == "Unhandled"
    assert json.loads(end["ErrorDetails"])["errorMessage"] == "no"


def test_an_error_after_it(lambda_client, function):
    before = worker(lambda_client, function)
    _, chunks, end = whole(lambda_client, function, {"items": ["a", "b"], "fails": True}, LogType="Tail")
    assert chunks == b"ab" and end["ErrorCode"] == "Unhandled"
    error = json.loads(end["ErrorDetails"])
    assert error["errorMessage"] == "broke off" and error["stackTrace"]
    assert "REPORT RequestId" in base64.b64decode(end["LogResult"]).decode()
    # Nothing of it is left for the next answer.
    assert whole(lambda_client, function, {"plain": True})[1:] == (b'{"plain": true}', {})
    assert worker(lambda_client, function) == before


@pytest.mark.parametrize("function", ["provided"], indirect=True)
@pytest.mark.parametrize("path, error", [("/error", "Again"), ("/response", "Runtime.TruncatedResponse")])
def test_a_stream_that_was_passed_on_in_part_cannot_begin_again(lambda_client, function, path, error):
    _, chunks, end = whole(lambda_client, function, {"items": ["half"], "drops": path})
    assert chunks == b"half" and json.loads(end["ErrorDetails"])["errorType"] == error
    # Nobody has seen anything of this one: the second answer is the answer.
    response = lambda_client.invoke(FunctionName=function, Payload=json.dumps({"items": ["half"], "drops": path}))
    assert json.loads(response["Payload"].read())["errorType"] == "Again"
    assert ("FunctionError" in response) == (path == "/error")


def test_a_buffered_invocation_collects(host, lambda_client, function):
    response = lambda_client.invoke(FunctionName=function, Payload=json.dumps({"items": ["a", 0.01, "b"]}))
    assert response["Payload"].read() == b"ab" and "FunctionError" not in response
    response = lambda_client.invoke(FunctionName=function, Payload=json.dumps({"items": ["a"], "fails": True}))
    assert response["FunctionError"] == "Unhandled"
    assert json.loads(response["Payload"].read())["errorMessage"] == "broke off"
    # What is too long for one answer ends the stream, and not the worker.
    before = worker(lambda_client, function)
    response = lambda_client.invoke(FunctionName=function, Payload=json.dumps({"items": [[200, 65536]]}))
    assert json.loads(response["Payload"].read())["errorType"] == "Function.ResponseSizeTooLarge"
    # The client has its answer before the worker has sent the rest.
    wait_until(lambda: all(it["State"] != "busy" for it in host.workers(function)), "the worker is free")
    assert worker(lambda_client, function) == before


def test_the_time_limit_is_that_of_the_whole_stream(lambda_client, function):
    lambda_client.update_function_configuration(FunctionName=function, Timeout=1)
    try:
        started = time.monotonic()
        _, chunks, end = whole(lambda_client, function, {"items": ["a", 0.4, "b", 0.4, "c", 30, "d"]})
        assert chunks == b"abc" and end["ErrorCode"] == "Unhandled" and time.monotonic() - started < 10
        assert json.loads(end["ErrorDetails"])["errorType"] == "Sandbox.Timedout"
    finally:
        lambda_client.update_function_configuration(FunctionName=function, Timeout=20)


def test_a_worker_that_dies_in_its_stream(lambda_client, function):
    _, chunks, end = whole(lambda_client, function, {"items": ["a", 0.2, "exit"]})
    assert chunks == b"a" and json.loads(end["ErrorDetails"])["errorType"] == "Runtime.ExitError"


def start(host, name, event):
    """A connection on which a stream was asked for, and of which nothing was read."""
    connection = host.raw(30)
    body = json.dumps(event)
    connection.send(
        f"POST /2021-11-15/functions/{name}/response-streaming-invocations HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}")
    return connection


def sent(host, name, since):
    lines = [line for line in log(host, name)[since:].splitlines() if "\tsent " in line]
    return int(lines[-1].split()[-1]) if lines else 0


def test_a_reader_that_stops_makes_the_worker_stop(host, lambda_client, function):
    worker(lambda_client, function)
    since = len(log(host, function))
    with start(host, function, {"items": [[1000, 65536]]}) as connection:
        wait_until(lambda: sent(host, function, since), "the function has begun")
        held = -1
        while held != (now := sent(host, function, since)):
            held = now
            time.sleep(0.5)
        # The kernel's buffers on both ways and 256 KiB of ours; of 64 MB, which an unbounded queue would have taken.
        assert 0 < held < 16 << 20, held
        answer = connection.answer()
    assert answer.status == 200 and len(answer.body) > 1000 * 65536
    wait_until(lambda: sent(host, function, since) == 1000 * 65536, "the function has sent everything")


def test_a_client_that_leaves_frees_the_worker(host, lambda_client, function):
    before = worker(lambda_client, function)
    # One that is blocked in a write, and one that is not.
    cases = [{"items": [[1_000_000, 65536]]}, {"items": ["a", *[0.1, "b"] * 1000]}]
    for event in cases if function.endswith("python3") else cases[:1]:
        since = len(log(host, function))
        connection = start(host, function, event)
        assert connection.file.read(1) == b"H"
        assert [it["State"] for it in host.workers(function)] == ["busy"]
        connection.close()
        # A runtime that does not look for the refusal goes on, and is ended after ten seconds.
        wait_until(lambda: all(it["State"] != "busy" for it in host.workers(function)), "the worker is free", 30)
        if function.endswith("python3"):
            assert "closed" in log(host, function)[since:]
            assert worker(lambda_client, function) == before


def test_a_client_that_leaves_the_queue_is_forgotten(host, lambda_client, function):
    lambda_client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=1)
    try:
        first = start(host, function, {"items": ["a", 1.5, "b"]})
        assert first.file.read(1) == b"H"
        second = start(host, function, {"items": ["never seen " + "x" * 10]})
        wait_until(
            lambda: any(pool["Queued"] for pool in host.request("GET", "/roost/v1/workers").json["Pools"]), "it waits")
        second.close()
        wait_until(
            lambda: not any(pool["Queued"] for pool in host.request("GET", "/roost/v1/workers").json["Pools"]),
            "it waits no more")
        first.close()
    finally:
        lambda_client.delete_function_concurrency(FunctionName=function)


def test_refusals_are_ordinary_errors(lambda_client, function):
    with pytest.raises(lambda_client.exceptions.ResourceNotFoundException):
        lambda_client.invoke_with_response_stream(FunctionName="nobody")
    with pytest.raises(lambda_client.exceptions.InvalidRequestContentException):
        lambda_client.invoke_with_response_stream(FunctionName=function, Payload=b"{")
    with pytest.raises(lambda_client.exceptions.RequestTooLargeException):
        lambda_client.invoke_with_response_stream(FunctionName=function, Payload=b'"' + b"x" * (6 << 20) + b'"')
    lambda_client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    try:
        with pytest.raises(lambda_client.exceptions.TooManyRequestsException):
            lambda_client.invoke_with_response_stream(FunctionName=function, Payload=b"{}")
    finally:
        lambda_client.delete_function_concurrency(FunctionName=function)
    response = lambda_client.invoke_with_response_stream(FunctionName=function, InvocationType="DryRun")
    assert response["StatusCode"] == 204


def test_the_command_prints_pieces_as_they_come(host, function):
    wait_until(lambda: all(it["State"] != "busy" for it in host.workers(function)), "the test before has ended")
    arguments = [str(BINARY), "invoke", function, "--stream", "--data"]
    environment = {**os.environ, "ROOST_ENDPOINT": host.endpoint}
    with subprocess.Popen(
        [*arguments, json.dumps({"items": ["first", 1.5, "second"]})], stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout.read(5) == b"first"
        assert [it["State"] for it in host.workers(function)] == ["busy"]
        assert process.stdout.read() == b"second"
    assert process.returncode == 0
    failed = host.roost("invoke", function, "--stream", "--data", json.dumps({"items": ["a"], "fails": True}), check=1)
    assert failed.stdout == "a" and "broke off" in failed.stderr
    assert host.roost("invoke", function, "--stream", "--data", '{"plain": 1}', check=0).stdout == '{"plain": 1}'
    assert "Function not found" in host.roost("invoke", "nobody", "--stream", check=1).stderr


@pytest.mark.parametrize("function", ["provided"], indirect=True)
def test_a_mode_that_there_is_not(lambda_client, function):
    response = lambda_client.invoke(
        FunctionName=function, Payload=json.dumps({"items": ["a"], "mode": "sideways"}))
    assert "exit status 4" in json.loads(response["Payload"].read())["errorMessage"]


# MARK: - random streams

def pick(random, drops):
    """The event of a random stream, which may be broken off and begun again if `drops`."""
    if random.random() < 0.1:
        return {random.choice(["plain", "error"]): True}
    event = {"items": []}
    for _ in range(random.randrange(6)):
        event["items"].append(random.choice([
            "x" * random.choice([1, 100, 10_000]), "x", [random.choice([1, 5, 50]), random.choice([1, 1000, 65536])],
            random.random() * 0.05]))
    chance = random.random()
    if chance < 0.03:
        event["items"].append("exit")
    elif chance < 0.05:
        event["items"].append(1.5)  # longer than the time limit
    elif chance < 0.15:
        event["fails"] = True
    elif chance < 0.25 and drops:
        event["drops"] = random.choice(["/response", "/error"])
    return event


def size_of(event):
    """How many bytes a stream has that comes to its end."""
    sizes = [
        0 if isinstance(item, float) else item[0] * item[1] if isinstance(item, list) else len(item)
        for item in event["items"] if item != "exit"]
    return sum(sizes)


def frames(data):
    buffer = botocore.eventstream.EventStreamBuffer()
    buffer.add_data(data)
    return [(frame.headers[":event-type"], frame.payload) for frame in buffer]


def check_whole(event, data):
    """What a client that read all of it got: frames, the last of which says how it ended."""
    *chunks, (last, end) = frames(data)
    assert last == "InvokeComplete" and all(kind == "PayloadChunk" for kind, _ in chunks)
    size = sum(len(payload) for _, payload in chunks)
    end = json.loads(end)
    if "items" not in event:
        assert bool(size) != bool(end), (event, end)
    elif "ErrorCode" in end:
        assert size <= size_of(event), (event, size)
        # On a worker with several slots the end of one invocation ends its neighbours.
        error = json.loads(end["ErrorDetails"])["errorType"]
        assert event.keys() & {"fails", "drops"} or error in ("Sandbox.Timedout", "Runtime.ExitError"), (event, end)
    else:
        assert size == size_of(event) and event.keys() == {"items"}, (event, size)


def stream_once(host, name, event, way, random):
    """One random stream with a client that behaves in one of the ways."""
    body = json.dumps(event)
    request = (
        f"POST /2021-11-15/functions/{name}/response-streaming-invocations HTTP/1.{0 if way == 'old' else 1}\r\n"
        f"Host: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}")
    with host.raw(30) as connection:
        connection.send(request + "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * (way == "pipelined"))
        if way == "at once":
            return
        if way in ("closed", "reset"):
            time.sleep(random.random() * 0.1)
            connection.socket.recv(random.choice([1, 1000, 100_000]))
            if way == "reset":
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        if way == "slow":
            time.sleep(random.random() * 0.5)
        answer = connection.answer("POST")
        assert answer.status == 200 and answer.headers["x-amzn-RequestId"] and answer.headers["Date"]
        check_whole(event, answer.body)
        if way == "pipelined":
            assert connection.answer().body == b"ok\n"


@pytest.mark.parametrize("runtime, slots", [("python3", 1), ("python3", 4), ("provided", 1)])
def test_whatever_becomes_of_streams_no_slot_is_lost(host, lambda_client, runtime, slots):
    """Streams of every shape, each of which may be left, killed, broken off or too slow: who stays gets what was promised,
    and afterwards nothing runs, nothing waits and every slot works. The seed is printed."""
    seed = Random().randrange(1 << 32)
    print("seed", seed)
    name = f"random-{runtime}-{slots}"
    files = {"function.py": HANDLER} if runtime == "python3" else {"bootstrap": BOOTSTRAP}
    lambda_client.create_function(
        FunctionName=name, Role="arn:aws:iam::000000000000:role/roost", Runtime=runtime, Timeout=1,
        Handler="function.handler", Code={"ZipFile": make_zip(files, ["bootstrap"])},
        Environment={"Variables": {"ROOST_INIT_TIMEOUT": "60", "ROOST_WORKER_CONCURRENCY": str(slots)}})

    def client(number):
        random = Random(seed + number)
        for _ in range(20):
            event = pick(random, drops=runtime == "provided")
            way = random.choice(["read", "read", "old", "slow", "pipelined", "at once", "closed", "reset"])
            try:
                stream_once(host, name, event, way, random)
            except Exception as fault:
                raise AssertionError(f"{way}: {json.dumps(event)[:500]}") from fault

    with concurrent.futures.ThreadPoolExecutor(6) as clients:
        list(clients.map(client, range(6)))

    def is_quiet():
        pools = [
            it for it in host.request("GET", "/roost/v1/workers").json["Pools"] if it["FunctionName"] == name]
        return all(it["Queued"] == it["Running"] == 0 for it in pools) and all(
            worker["State"] == "idle" for it in pools for worker in it["Workers"])

    wait_until(is_quiet, "nothing runs and nothing waits", 30)
    # More calls at once than slots, and more than workers: one that was lost, or given away twice, shows.
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        found = list(clients.map(lambda n: whole(lambda_client, name, {"items": [f"{n}"]})[1:], range(32)))
    assert found == [(str(n).encode(), {}) for n in range(32)]
    assert host.is_running
    lambda_client.delete_function(FunctionName=name)
