"""What clients repeat by themselves happens once: botocore tries a call again when its answer is late or lost, and all
tries carry the same amz-sdk-invocation-id."""

import concurrent.futures
import json
import os
import socket
import threading
import time
import uuid

import botocore.retries.standard
import pytest

from conftest import ARN, ROLE, make_zip, wait_until
from lambda_api import ACTOR, invoke, path_of, post, result, wait_until_ended

# Prints each call with what its event calls it.
COUNTED = """
import os, time

WORKER = os.urandom(8).hex()

def handler(event, context):
    print("called", event.get("key"), flush=True)
    time.sleep(event.get("seconds", 0))
    if event.get("fail"):
        raise KeyError("again")
    return [event.get("key"), os.urandom(8).hex()]
"""


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    """botocore tries again at once, not after up to a second."""
    monkeypatch.setattr(botocore.retries.standard.ExponentialBackoff, "delay_amount", lambda *_: 0)


@pytest.fixture(scope="module")
def counted(host):
    """A function that counts, which all tests of this file call."""
    host.client().create_function(
        FunctionName="counted", Role=ROLE, Runtime="python3", Timeout=20,
        Handler="function.handler", Code={"ZipFile": make_zip({"function.py": COUNTED})}, Publish=True)
    return "counted"


def calls(host, key):
    """How often it was called with that key."""
    text = host.request("GET", "/roost/v1/functions/counted/logs?lines=10000").body.decode()
    return [line.rsplit("\t", 1)[1] for line in text.splitlines()].count(f"called {key}")


def tried(client):
    """The number of tries of each call that the client makes from now on."""
    numbers = []
    client.meta.events.register("before-send.lambda", lambda **_: numbers.append(1) or None)
    return numbers


# MARK: late answers

@pytest.mark.parametrize("mode", ["standard", "legacy"])
def test_a_call_that_times_out_at_the_client_is_run_once(host, counted, mode):
    client = host.client(read_timeout=0.6, retries={"mode": mode, "total_max_attempts": 4})
    tries, key = tried(client), f"slow {mode}"
    begin = time.monotonic()
    answer = result(invoke(client, counted, {"key": key, "seconds": 1.5}))
    assert answer[0] == key and len(tries) >= 2
    # The last try has the answer of the first, as soon as that is there.
    assert time.monotonic() - begin < 4
    assert calls(host, key) == 1


def test_a_failure_that_was_waited_for_twice_is_told_as_it_is(host, counted):
    client = host.client(read_timeout=0.5, retries={"mode": "standard", "total_max_attempts": 4})
    tries = tried(client)
    response = invoke(client, counted, {"key": "late failure", "seconds": 0.8, "fail": True}, LogType="Tail")
    assert response["FunctionError"] == "Unhandled" and response["LogResult"]
    error = json.loads(response["Payload"].read())
    assert error["errorType"] == "KeyError" and error["requestId"] == response["ResponseMetadata"]["RequestId"]
    assert len(tries) >= 2 and calls(host, "late failure") == 1


# MARK: lost answers

class Loser:
    """A proxy that hands on every request, and loses the answer to the first `losses` of them."""

    def __init__(self, port):
        self.target = port
        self.losses = 0
        self.seen = []  # the request lines
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client:
            while True:
                request = self.message(client)
                if not request:
                    return
                self.seen.append(request.split(b"\r\n", 1)[0].decode())
                with socket.create_connection(("127.0.0.1", self.target)) as host:
                    host.sendall(request)
                    answer = self.message(host)
                if self.losses > 0:
                    self.losses -= 1
                    return
                client.sendall(answer)

    @staticmethod
    def message(source):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = source.recv(65536)
            if not piece:
                return b""
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n")
                       if line.lower().startswith(b"content-length:")), 0)
        while len(body) < length:
            body += source.recv(65536)
        return head + b"\r\n\r\n" + body

    def close(self):
        self.listener.close()


@pytest.fixture
def lossy(host):
    """(the proxy, a client that talks to the host through it)"""
    proxy = Loser(host.port)
    direct, host.endpoint = host.endpoint, f"http://127.0.0.1:{proxy.port}"
    try:
        client = host.client(retries={"mode": "standard", "total_max_attempts": 3})
    finally:
        host.endpoint = direct
    yield proxy, client
    proxy.close()


def test_the_answer_of_a_call_that_was_lost_is_given_again(host, counted, lossy):
    proxy, client = lossy
    proxy.losses = 2
    response = invoke(client, counted, {"key": "lost"}, LogType="Tail")
    answer = result(response)
    assert answer[0] == "lost" and len(proxy.seen) == 3
    assert response["ExecutedVersion"] == "$LATEST" and response["LogResult"]
    assert calls(host, "lost") == 1
    # Another call with the same event is another call.
    assert result(invoke(client, counted, {"key": "lost"})) != answer
    wait_until(lambda: calls(host, "lost") == 2, "the second call")


def test_an_event_whose_answer_was_lost_is_one_execution(host, counted, lossy):
    proxy, client = lossy
    proxy.losses = 1
    response = invoke(client, counted, {"key": "event"}, InvocationType="Event")
    assert response["StatusCode"] == 202 and len(proxy.seen) == 2
    arn = response["DurableExecutionArn"]
    ended = wait_until_ended(host.client(), arn)
    assert json.loads(ended["Result"])[0] == "event"
    assert ended["DurableExecutionName"] == response["ResponseMetadata"]["RequestId"]
    listed = host.client().list_durable_executions_by_function(FunctionName=counted)["DurableExecutions"]
    assert [each["DurableExecutionArn"] for each in listed if each["DurableExecutionArn"] == arn] == [arn]
    assert calls(host, "event") == 1


def test_changes_whose_answers_were_lost_are_made_once(host, lossy):
    """What a second try would find done already, or do again: the answer is that of the first."""
    proxy, client = lossy
    package = make_zip({"function.py": COUNTED})

    def with_loss(operation, **parameters):
        proxy.losses = 1
        before = len(proxy.seen)
        response = getattr(client, operation)(FunctionName="changed", **parameters)
        assert len(proxy.seen) == before + 2 and proxy.losses == 0
        return response

    made = with_loss("create_function", Runtime="python3", Handler="function.handler", Code={"ZipFile": package},
                     Role=ROLE)
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201 and made["FunctionArn"] == ARN + "changed"
    assert with_loss("publish_version")["Version"] == "1"
    published = with_loss("update_function_code", ZipFile=package, Publish=True)
    assert published["Version"] == "2"
    versions = client.list_versions_by_function(FunctionName="changed")["Versions"]
    assert [version["Version"] for version in versions] == ["$LATEST", "1", "2"]
    revision = client.get_function_configuration(FunctionName="changed")["RevisionId"]
    updated = with_loss("update_function_configuration", Timeout=7, RevisionId=revision)
    assert updated["RevisionId"] == client.get_function_configuration(FunctionName="changed")["RevisionId"] != revision
    alias = with_loss("create_alias", Name="live", FunctionVersion="1")
    assert alias["ResponseMetadata"]["HTTPStatusCode"] == 201
    moved = with_loss("update_alias", Name="live", FunctionVersion="2", RevisionId=alias["RevisionId"])
    assert moved["RevisionId"] == client.get_alias(FunctionName="changed", Name="live")["RevisionId"]
    # Its history has one move, so that a roll-back undoes that.
    history = host.request("GET", "/roost/v1/functions/changed/aliases/live/history").json["History"]
    assert len(history) == 2
    assert with_loss("delete_function")["ResponseMetadata"]["HTTPStatusCode"] == 204
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_function(FunctionName="changed")


# MARK: by hand

def tries_of(identifier, attempt=1):
    return {"amz-sdk-invocation-id": identifier, "amz-sdk-request": f"attempt={attempt}; max=3"}


def call(host, event, identifier=None, path="/2015-03-31/functions/counted/invocations", **headers):
    fields = {**(tries_of(identifier) if identifier else {}), **headers}
    answer = host.request("POST", path, event, fields)
    assert answer.status in (200, 202), answer.body
    return answer


def test_only_tries_of_the_same_request_are_one(host, counted):
    identifier = str(uuid.uuid4())
    path = "/2015-03-31/functions/counted/invocations"
    first = call(host, {"key": "same"}, identifier)
    again = call(host, {"key": "same"}, identifier, **{"amz-sdk-request": "attempt=2; max=3"})
    assert again.body == first.body
    assert again.headers["x-amzn-RequestId"] == first.headers["x-amzn-RequestId"]
    assert again.headers["X-Amz-Executed-Version"] == first.headers["X-Amz-Executed-Version"]
    # Another body, query or identifier is another request; and without one each is its own.
    others = [
        call(host, {"key": "same", "more": 1}, identifier),
        call(host, b'{ "key": "same"}', identifier),
        call(host, {"key": "same"}, identifier, path + "?Qualifier=$LATEST"),
        call(host, {"key": "same"}, identifier, path + "?Qualifier=1"),
        call(host, {"key": "same"}, str(uuid.uuid4())), call(host, {"key": "same"}), call(host, {"key": "same"}),
    ]
    assert len({first.body, *(answer.body for answer in others)}) == 8
    wait_until(lambda: calls(host, "same") == 8, "eight calls")


def test_tries_at_the_same_time_are_one(host, counted):
    identifier = str(uuid.uuid4())
    event = {"key": "together", "seconds": 0.3}
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda n: call(host, event, identifier), range(12)))
        events = list(pool.map(lambda n: call(
            host, {"key": "event together"}, identifier, **{"X-Amz-Invocation-Type": "Event"}), range(12)))
    assert len({answer.body for answer in answers}) == 1
    assert len({answer.headers["x-amzn-RequestId"] for answer in answers}) == 1
    assert calls(host, "together") == 1
    arns = {answer.headers["X-Amz-Durable-Execution-Arn"] for answer in events}
    assert len(arns) == 1
    wait_until_ended(host.client(), *arns)
    assert calls(host, "event together") == 1


def test_a_caller_who_leaves_does_not_end_the_call_that_the_next_try_waits_for(host, counted):
    identifier, body = str(uuid.uuid4()), b'{"key": "left", "seconds": 0.6}'
    with host.raw() as raw:
        raw.send(post(path_of("Invoke", FunctionName="counted"), body, tries_of(identifier)))
        wait_until(lambda: calls(host, "left"), "the call")
    assert call(host, body, identifier).json[0] == "left"
    assert calls(host, "left") == 1


def test_tries_that_were_given_up_take_no_place(host, counted):
    """A client whose patience is short tries a long call more often than tries may wait at a time."""
    identifier, body = str(uuid.uuid4()), b'{"key": "impatient", "seconds": 1.5}'
    request = post(path_of("Invoke", FunctionName="counted"), body, tries_of(identifier))
    for _ in range(40):
        with host.raw() as raw:
            raw.send(request)
            wait_until(lambda: calls(host, "impatient"), "the call")
    assert call(host, body, identifier).json[0] == "impatient"
    assert calls(host, "impatient") == 1


def test_a_refusal_is_no_answer_to_the_next_try(host, counted, lambda_client):
    """A client that was throttled tries again to be served, with the same identifier."""
    identifier = str(uuid.uuid4())
    lambda_client.put_function_concurrency(FunctionName=counted, ReservedConcurrentExecutions=0)
    try:
        refused = host.request("POST", path_of("Invoke", FunctionName=counted), {"key": "throttled"},
                               tries_of(identifier))
        assert refused.status == 429
    finally:
        lambda_client.delete_function_concurrency(FunctionName=counted)
    assert call(host, {"key": "throttled"}, identifier).json[0] == "throttled"


@pytest.mark.parametrize("identifier", ["", "x", "x" * 4000, "%00", "\u00e9", "a b, c", "' OR 1=1 --"],
                         ids=["empty", "short", "long", "percent", "latin", "list", "quote"])
def test_identifiers_of_any_form_do_no_harm(host, counted, identifier):
    for _ in range(2):
        answer = host.request("POST", path_of("Invoke", FunctionName=counted), {"key": "odd"},
                              {"amz-sdk-invocation-id": identifier.encode("latin-1")})
        assert answer.status == 200 and answer.json[0] == "odd"


def test_reads_are_never_answered_from_memory(host, lambda_client, make_function):
    name, identifier = make_function(), str(uuid.uuid4())
    path = path_of("GetFunctionConfiguration", FunctionName=name)
    assert host.request("GET", path, headers=tries_of(identifier)).json["Timeout"] == 3
    lambda_client.update_function_configuration(FunctionName=name, Timeout=8)
    assert host.request("GET", path, headers=tries_of(identifier)).json["Timeout"] == 8


# MARK: memory

def resident(host):
    """Megabytes."""
    with open(f"/proc/{host.process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


def test_what_is_remembered_has_a_limit(make_host):
    """Answers of 200 MB, each of which a client might ask for again."""
    host = make_host()
    client = host.client()
    client.create_function(FunctionName="large", Role=ROLE, Runtime="python3", Timeout=20, Handler="function.handler",
                           Code={"ZipFile": make_zip({"function.py": ACTOR})})
    path, body = path_of("Invoke", FunctionName="large"), b'{"do": "large", "bytes": 1000000}'
    invoke(client, "large", {"do": "large", "bytes": 1_000_000})
    before = resident(host)
    with host.raw(seconds=30) as raw:
        for _ in range(200):
            raw.send(post(path, body, tries_of(str(uuid.uuid4()))))
            assert len(raw.answer("POST").body) == 1_000_002
    assert resident(host) - before < 150
    # The last one is still known.
    identifier = str(uuid.uuid4())
    first, again = (host.request("POST", path, body, tries_of(identifier)) for _ in range(2))
    assert first.headers["x-amzn-RequestId"] == again.headers["x-amzn-RequestId"]


def test_clients_that_wait_for_an_execution_hold_no_event(make_host):
    """Fifty tries by name of one long call with a large event, whose clients have all gone."""
    host = make_host()
    client = host.client()
    client.create_function(FunctionName="long", Role=ROLE, Runtime="python3", Timeout=60, Handler="function.handler",
                           Code={"ZipFile": make_zip({"function.py": COUNTED})})
    body = json.dumps({"key": "waited", "seconds": 3, "pad": "x" * 1_000_000}).encode()
    request = post(path_of("Invoke", FunctionName="long"), body, {"X-Amz-Durable-Execution-Name": "one"})
    before = resident(host)
    for _ in range(50):
        with host.raw() as raw:
            raw.send(request)
    wait_until(lambda: [it["State"] for it in host.workers("long")] == ["busy"], "it runs")
    time.sleep(1)
    assert resident(host) - before < 35


# MARK: the end of the host

def test_who_waits_for_an_execution_that_goes_on_later_is_told(make_host):
    """A host that ends does not wait for a retry in a minute, nor hang up without a word."""
    host = make_host()
    host.client().create_function(
        FunctionName="failing", Role=ROLE, Runtime="python3", Handler="function.handler",
        Code={"ZipFile": make_zip({"function.py": COUNTED})})
    body = b'{"key": "fails", "fail": true}'
    with host.raw(seconds=30) as raw:
        raw.send(post(path_of("Invoke", FunctionName="failing"), body, {"X-Amz-Durable-Execution-Name": "n"}))
        [execution] = wait_until(
            lambda: [it for it in host.request("GET", "/roost/v1/executions").json["Executions"] if it["Attempt"] == 1],
            "an attempt")
        wait_until(lambda: host.request("GET", f"/roost/v1/executions/{execution['Id']}").json["Status"] == "QUEUED",
                   "the retry")
        host.process.terminate()
        answer = raw.answer("POST")
        assert answer.status == 503 and answer.error == "ServiceException" and "goes on" in answer.message
    begin = time.monotonic()
    host.stop()
    assert time.monotonic() - begin < 5
