"""The host of the tests of callers' mistakes, which serves on whatever they did."""

import base64

import pytest

from conftest import ROLE, make_zip, wait_until

FUNCTIONS = "/2015-03-31/functions"
INVOKE = FUNCTIONS + "/echo/invocations"
MISSING = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def host(host):
    """The module's host, with a function `echo` that has a version 1 and an alias `live`."""
    client = host.client()
    client.create_function(
        FunctionName="echo", Role=ROLE, Runtime="python3", Handler="function.handler", Timeout=20, Publish=True,
        Code={"ZipFile": make_zip({"function.py": "def handler(event, context):\n    return event\n"})})
    client.create_alias(FunctionName="echo", Name="live", FunctionVersion="1")
    client.invoke(FunctionName="echo")
    wait_until((host.data / "logs" / "echo" / "log").exists, "its log, which tests would take for a file left behind")
    return host


@pytest.fixture(autouse=True)
def serves_on(host):
    """Whatever a test did, the host is the same process and answers."""
    process = host.process.pid
    yield
    assert host.is_running and host.process.pid == process
    answer = host.request("POST", INVOKE, b'{"still": "there"}')
    assert (answer.status, answer.json) == (200, {"still": "there"})
    assert "Fatal" not in host.stderr


def create(**fields):
    body = {"FunctionName": "made", "Role": ROLE, "Runtime": "python3", "Handler": "function.handler",
            "Code": {"ZipFile": base64.b64encode(make_zip({"function.py": "x = 1\n"})).decode()}}
    return {**body, **fields}


def create_from(host, package):
    return host.request(
        "POST", FUNCTIONS, create(Code={"ZipFile": base64.b64encode(package).decode()}))


def assert_refused(answer, status, error, message=""):
    assert (answer.status, answer.error) == (status, error), answer.body
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["x-amzn-RequestId"]
    assert message in answer.message
