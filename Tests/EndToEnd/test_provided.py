"""awslambdaric, the runtime of AWS for Python, as it is published: any client of the Runtime API is a worker."""

import base64
import importlib.metadata
import json
import sys
from pathlib import Path

import pytest

from conftest import ARN

BOOTSTRAP = "#!/bin/sh\nexec /usr/bin/python3 -m awslambdaric \"$_HANDLER\"\n"
SOURCE = """
import os, signal, sys, time
import logging

WORKER = os.urandom(8).hex()
logging.getLogger().setLevel("INFO")

def handler(event, context):
    what = event.get("do")
    if what == "raise":
        raise ValueError("no " + event["what"])
    if what == "deep":
        def down(depth):
            return down(depth + 1)
        down(0)
    if what == "exit":
        sys.exit(event["code"])
    if what == "os exit":
        os._exit(event["code"])
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "sleep":
        time.sleep(event["seconds"])
    if what == "large":
        return "x" * event["bytes"]
    if what == "log":
        print("printed")
        logging.info("logged")
        for n in range(event["lines"]):
            print("x" * 99)
    if what == "bytes":
        return bytes([0, 255, 123])
    if what == "nan":
        return float("nan")
    if what == "context":
        client = context.client_context
        return {"id": context.aws_request_id, "arn": context.invoked_function_arn, "name": context.function_name,
                "version": context.function_version, "left": context.get_remaining_time_in_millis(),
                "custom": client and client.custom, "task": os.environ["LAMBDA_TASK_ROOT"], "here": os.getcwd()}
    return {"worker": WORKER, "event": event}
"""


def vendored():
    """The files that `pip install --target . awslambdaric` makes, taken from where it is installed: no network."""
    if Path("/usr/bin/python3").resolve().name != "python%d.%d" % sys.version_info[:2]:
        pytest.skip("NOT COUNTED: the tests do not run under the system's Python, which the worker has")
    files = {}
    for name in ("awslambdaric", "simplejson", "snapshot-restore-py"):
        for file in importlib.metadata.files(name):
            if ".." not in file.parts and "__pycache__" not in file.parts and "tests" not in file.parts:
                files[str(file)] = file.locate().read_bytes()
    return files


@pytest.fixture(scope="module")
def package():
    return {"bootstrap": BOOTSTRAP, "app.py": SOURCE, **vendored()}


@pytest.fixture
def function(make_function, package):
    def make(**options):
        # Cold starts of it take a while on a busy machine; that is not in the time of the invocation.
        return make_function(files=package, executable=["bootstrap"], **{
            "Runtime": "provided.al2023", "Handler": "app.handler", "Timeout": 20, "MemorySize": 256, **options})

    return make


def call(client, name, event, **options):
    response = client.invoke(FunctionName=name, Payload=json.dumps(event), **options)
    return response, json.loads(response["Payload"].read())


def test_it_answers_and_stays_warm(lambda_client, function):
    name = function()
    response, first = call(lambda_client, name, {"text": "世界", "number": 2.5})
    assert "FunctionError" not in response and response["ExecutedVersion"] == "$LATEST"
    assert first["event"] == {"text": "世界", "number": 2.5}
    for n in range(20):
        assert call(lambda_client, name, {"n": n})[1] == {"worker": first["worker"], "event": {"n": n}}
    # Nothing was sent, and so something was: an empty event would kill it.
    assert json.loads(lambda_client.invoke(FunctionName=name)["Payload"].read())["event"] == {}


def test_its_context(lambda_client, function):
    name = function()
    lambda_client.publish_version(FunctionName=name)
    lambda_client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    context = base64.b64encode(b'{"custom": {"who": "me"}}').decode()
    response, answer = call(lambda_client, f"{name}:live", {"do": "context"}, ClientContext=context)
    assert 0 < answer.pop("left") <= 20_000
    assert answer == {
        "id": response["ResponseMetadata"]["RequestId"], "arn": f"{ARN}{name}:live", "name": name, "version": "1",
        "custom": {"who": "me"}, "task": "/var/task", "here": "/var/task"}


def test_what_it_says_of_an_exception_is_passed_on(lambda_client, function):
    name = function()
    response, error = call(lambda_client, name, {"do": "raise", "what": "luck"})
    assert response["StatusCode"] == 200 and response["FunctionError"] == "Unhandled"
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "no luck")
    assert error["requestId"] == response["ResponseMetadata"]["RequestId"] and error["stackTrace"]
    # Its report of a deep recursion has a head of several hundred kilobytes.
    response, error = call(lambda_client, name, {"do": "deep"})
    assert response["FunctionError"] == "Unhandled" and error["errorType"] == "RecursionError"
    # It went on all the while.
    assert "FunctionError" not in call(lambda_client, name, {})[0]


@pytest.mark.parametrize("event, error_type, message", [
    ({"do": "exit", "code": 3}, "Runtime.ExitError", "Runtime exited with error: exit status 3"),
    ({"do": "os exit", "code": 0}, "Runtime.ExitError", "Runtime exited without providing a reason"),
    ({"do": "kill"}, "Runtime.ExitError", "Runtime exited with error: signal: killed"),
    ({"do": "sleep", "seconds": 60}, "Sandbox.Timedout", "Task timed out after 1.00 seconds"),
], ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "")
def test_when_it_ends_the_next_call_has_a_new_one(lambda_client, function, event, error_type, message):
    name = function(Timeout=1)
    before = call(lambda_client, name, {})[1]["worker"]
    response, error = call(lambda_client, name, event)
    assert response["FunctionError"] == "Unhandled"
    request_id = response["ResponseMetadata"]["RequestId"]
    assert error == {"errorType": error_type, "errorMessage": f"RequestId: {request_id} Error: {message}"}
    assert call(lambda_client, name, {})[1]["worker"] != before


def test_an_init_that_fails_is_told(lambda_client, function):
    name = function(Handler="nothing.handler")
    response, error = call(lambda_client, name, {})
    assert response["FunctionError"] == "Unhandled"
    assert error["errorType"] == "Runtime.ImportModuleError" and "nothing" in error["errorMessage"]


def test_a_bootstrap_that_is_none(lambda_client, make_function):
    name = make_function(files={"bootstrap": "#!/nothing/here\n"}, executable=["bootstrap"], Runtime="provided",
                         Handler="x")
    response, error = call(lambda_client, name, {})
    assert response["FunctionError"] == "Unhandled" and error["errorType"].startswith("Runtime.")


def test_large_answers_and_long_logs(lambda_client, function):
    name = function()
    response, answer = call(lambda_client, name, {"do": "large", "bytes": 6_000_000})
    assert len(answer) == 6_000_000
    response, error = call(lambda_client, name, {"do": "large", "bytes": 7_000_000})
    assert error["errorType"] == "Function.ResponseSizeTooLarge"
    # A megabyte of log: undrained, it would never end.
    response, _ = call(lambda_client, name, {"do": "log", "lines": 10_000}, LogType="Tail")
    tail = base64.b64decode(response["LogResult"])
    assert len(tail) == 4096 and b"END RequestId" in tail
    response, _ = call(lambda_client, name, {"do": "log", "lines": 1}, LogType="Tail")
    tail = base64.b64decode(response["LogResult"]).decode()
    assert "printed\n" in tail and "logged" in tail and tail.startswith("START")
    # What is no JSON is the function's own affair, as on Lambda.
    response = lambda_client.invoke(FunctionName=name, Payload=b'{"do": "nan"}')
    assert response["Payload"].read() == b"NaN"
    response = lambda_client.invoke(FunctionName=name, Payload=b'{"do": "bytes"}')
    assert response["Payload"].read() == b"\x00\xff{"
    assert response["ResponseMetadata"]["HTTPHeaders"]["content-type"] == "application/unknown"
