"""Invocations as boto3 sees them: values, contexts, logs, errors of functions, and the workers behind them."""

import base64
import json
import random
import threading
import time

import pytest
from botocore.exceptions import ClientError

from conftest import ARN, ROLE, make_zip, wait_until
from lambda_api import ACTOR, VERSIONED, failure, invoke, result

# MARK: invocations

@pytest.mark.parametrize("payload, expected", [
    (None, {}), (b"", {}), (b"5", 5), (b"null", None), (b"true", True), (b'"text"', "text"), (b"[]", []),
    ('{"世": "界 \U0001f600"}'.encode(), {"世": "界 \U0001f600"}), (b'"\\ud800"', "\ud800"), (b'"\\u0000"', "\0"),
    (b"123456789012345678901234567890", 123456789012345678901234567890), (b" \t\r\n{ } \n", {}),
    (b"[" * 200 + b"]" * 200, json.loads("[" * 200 + "]" * 200)),
], ids=repr)
def test_values_of_every_kind_go_through(lambda_client, echo, payload, expected):
    response = lambda_client.invoke(FunctionName=echo, **({} if payload is None else {"Payload": payload}))
    assert response["StatusCode"] == 200
    assert result(response) == expected


@pytest.fixture(scope="module")
def echo(lambda_client):
    lambda_client.create_function(
        FunctionName="echo", Role=ROLE, Runtime="python3", Handler="function.handler",
        Code={"ZipFile": make_zip({"function.py": "def handler(event, context):\n    return event\n"})})
    return "echo"


def test_a_function_that_returns_nothing_answers_null(lambda_client, make_function):
    name = make_function("def handler(event, context):\n    pass\n")
    assert lambda_client.invoke(FunctionName=name)["Payload"].read() == b"null"


def test_a_dry_run_runs_nothing(host, lambda_client, make_function):
    name = make_function()
    response = lambda_client.invoke(FunctionName=name, InvocationType="DryRun", Payload=b"{}")
    assert response["StatusCode"] == 204 and response["Payload"].read() == b""
    assert host.workers(name) == []


def test_the_context_is_that_of_the_invocation(lambda_client, make_function):
    name = make_function(ACTOR, MemorySize=160)
    response = invoke(lambda_client, name, {"do": "context"})
    context = result(response)
    assert context == {
        "aws_request_id": response["ResponseMetadata"]["RequestId"], "invoked_function_arn": ARN + name,
        "function_name": name, "function_version": "$LATEST", "memory_limit_in_mb": context["memory_limit_in_mb"]}
    assert str(context["memory_limit_in_mb"]) == "160"


def test_the_client_context_reaches_the_function(lambda_client, make_function):
    name = make_function(ACTOR)
    context = {"custom": {"who": "世界"}, "env": {"locale": "de"}, "client": {"app_title": "t"}}
    text = base64.b64encode(json.dumps(context).encode()).decode()
    answer = result(invoke(lambda_client, name, {"do": "client context"}, ClientContext=text))
    assert answer == {"custom": {"who": "世界"}, "env": {"locale": "de"}}
    assert result(invoke(lambda_client, name, {"do": "client context"})) is None


def test_the_log_tail_has_the_lines_of_the_invocation_and_its_report(lambda_client, make_function):
    name = make_function(ACTOR)

    def tail(event):
        response = invoke(lambda_client, name, event, LogType="Tail")
        request_id = response["ResponseMetadata"]["RequestId"]
        return request_id, base64.b64decode(response["LogResult"]).decode(errors="replace")

    request_id, text = tail({"do": "print", "text": "one\ntwo\n"})
    start, *printed, end, report = text.rstrip("\n").split("\n")
    assert start == f"START RequestId: {request_id} Version: $LATEST"
    assert printed == ["one", "two"]
    assert end == f"END RequestId: {request_id}"
    fields = dict(field.split(": ") for field in report.rstrip("\t").split("\t"))
    assert fields["REPORT RequestId"] == request_id
    assert fields["Memory Size"] == "128 MB"
    # Python itself takes some.
    assert 5 <= int(fields["Max Memory Used"].removesuffix(" MB")) < 500
    assert float(fields["Duration"].removesuffix(" ms")) <= int(fields["Billed Duration"].removesuffix(" ms"))
    assert fields["Init Duration"].endswith(" ms")
    assert fields["Start Cause"] == "first"
    # The second is warm, and has no line of the first.
    _, text = tail({"do": "print", "text": "three\n"})
    assert "three" in text and "two" not in text and "Init Duration" not in text and "Start Cause" not in text
    # The end is kept, and cut at the byte.
    request_id, text = tail({"do": "print", "text": "".join(f"line {n}\n" for n in range(2000))})
    assert len(text) == 4096 and "line 1999\nEND" in text and "START" not in text and "REPORT" in text
    # An error has a tail too.
    _, text = tail({"do": "raise", "what": "luck"})
    assert "END RequestId" in text
    assert "LogResult" not in invoke(lambda_client, name, {})
    assert "LogResult" not in invoke(lambda_client, name, {}, LogType="None")


def test_an_unfinished_line_belongs_to_its_own_invocation(lambda_client, make_function):
    name = make_function(ACTOR)

    def tail(text):
        response = invoke(lambda_client, name, {"do": "print", "text": text}, LogType="Tail")
        return base64.b64decode(response["LogResult"]).decode().split("\n")[1:-3]

    assert tail("no end") == ["no end"]
    # Another caller's log has nothing of it.
    assert tail("whole\n") == ["whole"]
    assert tail("\none\n\ntwo") == ["", "one", "", "two"]


def test_timing_is_told(host, make_function):
    name = make_function()
    path = f"/2015-03-31/functions/{name}/invocations"
    cold, warm = (host.request("POST", path, {}).headers["Roost-Timing"] for _ in range(2))
    assert [part.split("=")[0] for part in cold.split(";")] == ["queue", "init", "run"]
    assert [part.split("=")[0] for part in warm.split(";")] == ["queue", "run"]
    assert all(float(part.split("=")[1]) >= 0 for part in (cold + ";" + warm).split(";"))


def test_an_update_does_not_disturb_what_runs(lambda_client, make_function, host):
    name = make_function(ACTOR, Timeout=20)
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(result(invoke(host.client(), name, {"do": "sleep", "seconds": 1}))))
    thread.start()
    wait_until(lambda: any(worker["State"] == "busy" for worker in host.workers(name)), "a busy worker")
    lambda_client.update_function_code(FunctionName=name, ZipFile=make_zip({"function.py": VERSIONED % "new"}))
    assert result(invoke(lambda_client, name, {})) == "new"
    thread.join(10)
    assert isinstance(answers[0], str)
    wait_until(lambda: len(host.workers(name)) == 1, "the old worker to be gone")


# MARK: function errors

def test_an_exception_is_told_with_type_message_and_trace(lambda_client, make_function):
    name = make_function(ACTOR)
    response = invoke(lambda_client, name, {"do": "raise", "what": "luck"})
    assert response["ExecutedVersion"] == "$LATEST"
    error = failure(response)
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "no luck")
    assert error["requestId"] == response["ResponseMetadata"]["RequestId"]
    assert any("handler" in line for line in error["stackTrace"])
    # The worker goes on.
    first, second = (result(invoke(lambda_client, name, {})) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("event, error_type, message", [
    ({"do": "exit", "code": 0}, "Runtime.ExitError", "Runtime exited without providing a reason"),
    ({"do": "exit", "code": 3}, "Runtime.ExitError", "Runtime exited with error: exit status 3"),
    ({"do": "sys.exit", "code": 4}, "Runtime.ExitError", "Runtime exited with error: exit status 4"),
    ({"do": "kill"}, "Runtime.ExitError", "Runtime exited with error: signal: killed"),
    ({"do": "sleep", "seconds": 60}, "Sandbox.Timedout", "Task timed out after 1.00 seconds"),
], ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "")
def test_a_worker_that_ends_is_a_function_error_and_is_replaced(
        lambda_client, make_function, event, error_type, message):
    name = make_function(ACTOR, Timeout=1)
    before = result(invoke(lambda_client, name, {}))
    response = invoke(lambda_client, name, event)
    request_id = response["ResponseMetadata"]["RequestId"]
    assert failure(response) == {"errorType": error_type, "errorMessage": f"RequestId: {request_id} Error: {message}"}
    assert result(invoke(lambda_client, name, {})) != before


def test_a_result_over_the_limit_is_a_function_error(lambda_client, make_function):
    name = make_function(ACTOR, Timeout=30)
    assert len(result(invoke(lambda_client, name, {"do": "large", "bytes": 6 << 20}))) == 6 << 20
    response = invoke(lambda_client, name, {"do": "large", "bytes": 7_000_000})
    assert failure(response) == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes)."}
    assert isinstance(result(invoke(lambda_client, name, {})), str)


@pytest.mark.parametrize("source, handler, error_type", [
    ("raise RuntimeError('broken')", "function.handler", "RuntimeError"),
    ("import nothing_of_this_name", "function.handler", "Runtime.ImportModuleError"),
    ("def handler(:", "function.handler", "Runtime.UserCodeSyntaxError"),
    ("other = 1", "function.handler", "Runtime.HandlerNotFound"),
    ("other = 1", "elsewhere.handler", "Runtime.ImportModuleError"),
    ("import os; os._exit(5)", "function.handler", "Runtime.ExitError"),
    ("import os; os._exit(0)", "function.handler", "Runtime.ExitError"),
], ids=lambda value: value if value.startswith("Runtime") else "")
def test_an_init_that_fails_is_a_function_error(lambda_client, make_function, source, handler, error_type):
    name = make_function(source, Handler=handler)
    response = lambda_client.invoke(FunctionName=name)
    error = failure(response)
    assert error["errorType"] == error_type
    if error_type == "Runtime.ExitError":
        reason = "with error: exit status 5" if "5" in source else "without providing a reason"
        request_id = response["ResponseMetadata"]["RequestId"]
        assert error["errorMessage"] == f"RequestId: {request_id} Error: Runtime exited {reason}"
    # Repaired code is not held back by the failures of the old.
    lambda_client.update_function_code(FunctionName=name, ZipFile=make_zip(
        {"function.py": VERSIONED % "works", "elsewhere.py": VERSIONED % "works"}))
    assert result(lambda_client.invoke(FunctionName=name)) == "works"


def test_an_init_that_takes_too_long_is_a_function_error(lambda_client, make_function):
    name = make_function("import time\ntime.sleep(60)\n", Environment={"Variables": {"ROOST_INIT_TIMEOUT": "1"}})
    error = failure(lambda_client.invoke(FunctionName=name))
    assert error["errorType"] in ("Sandbox.Timedout", "Runtime.InitTimeout", "Runtime.ExitError")


# MARK: workers

def test_a_worker_sees_little_of_the_machine(host, lambda_client, make_function):
    name = make_function("""
import os, socket

def attempt(what):
    try:
        return what() is None or "done"
    except OSError as error:
        return type(error).__name__

def handler(event, context):
    return {
        "uid": os.getuid(), "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
        "data": os.path.exists(event["data"]), "variables": sorted(os.environ),
        "write task": attempt(lambda: open("/var/task/x", "w")), "write usr": attempt(lambda: open("/usr/x", "w")),
        "write tmp": attempt(lambda: open("/tmp/x", "w")), "shadow": attempt(lambda: open("/etc/shadow")),
        "tmpdir": attempt(lambda: open(os.environ["TMPDIR"] + "/y", "w")),
        "host": attempt(lambda: socket.create_connection(("127.0.0.1", event["port"]), 2)),
    }
""")
    seen = result(invoke(lambda_client, name, {"data": str(host.data), "port": host.port}))
    assert seen["uid"] != 0 and seen["processes"] < 5 and not seen["data"]
    assert seen["write task"] != "done" and seen["write usr"] != "done" and seen["shadow"] != "done"
    assert seen["write tmp"] == seen["tmpdir"] == "done"
    # It has a loopback of its own.
    assert seen["host"] == "ConnectionRefusedError"
    # Nothing of the host's environment, and what Lambda has.
    assert not [name for name in seen["variables"] if name.startswith(("PYTEST", "ROOST_BINARY", "SUDO", "SSH"))]
    assert {"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_REGION",
            "LAMBDA_TASK_ROOT", "_HANDLER", "TZ"} <= set(seen["variables"])


def test_many_clients_at_once_meet_modelled_errors_only(host, lambda_client):
    """Two functions are made, changed, called and deleted by eight clients that know nothing of each other."""
    expected = {"ResourceNotFoundException", "ResourceConflictException"}
    end = time.monotonic() + 3
    wrong, invoked = [], []

    def work(seed):
        chance, client = random.Random(seed), host.client()
        package = make_zip({"function.py": "def handler(event, context):\n    return event\n"})
        while time.monotonic() < end:
            name = chance.choice(["busy-0", "busy-1"])
            verb = chance.choice([
                "create", "delete", "invoke", "invoke", "invoke", "alias", "configure", "code", "event"])
            try:
                match verb:
                    case "create":
                        client.create_function(FunctionName=name, Role=ROLE, Runtime="python3", Timeout=20,
                                               Handler="function.handler", Code={"ZipFile": package})
                    case "delete" if chance.random() < 0.3:
                        client.delete_function(FunctionName=name)
                    case "invoke":
                        payload = client.invoke(FunctionName=name, Payload=b"[1]")["Payload"].read()
                        (invoked if payload == b"[1]" else wrong).append(payload)
                    case "alias":
                        version = client.publish_version(FunctionName=name)["Version"]
                        try:
                            client.update_alias(FunctionName=name, Name="live", FunctionVersion=version)
                        except client.exceptions.ResourceNotFoundException:
                            client.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
                    case "configure":
                        client.update_function_configuration(FunctionName=name, Description=str(chance.random()))
                    case "code":
                        client.update_function_code(FunctionName=name, ZipFile=package)
                    case "event":
                        client.invoke(FunctionName=name, InvocationType="Event", Payload=b"[2]")
            except ClientError as error:
                if error.response["Error"]["Code"] not in expected:
                    wrong.append((verb, error))
            except Exception as error:
                wrong.append((verb, error))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong and invoked
    for name in ("busy-0", "busy-1"):
        try:
            lambda_client.delete_function(FunctionName=name)
        except lambda_client.exceptions.ResourceNotFoundException:
            pass
    wait_until(lambda: not host.workers("busy-0") and not host.workers("busy-1"), "their workers to be gone")
