"""Workers of a real host: they start when they are called, sleep when they are not, and wait for nobody at the end."""

import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

from roost_host import BINARY, SLEEPER, Processes, RoostHost, descendants, ordinary_user, process_table, until


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with RoostHost(tmp_path_factory.mktemp("lifecycle") / "data") as host:
        yield host


# MARK: - starting and sleeping

def test_a_hundred_calls_to_a_sleeping_function_start_at_most_four_workers(host, record_property):
    host.create("crowd", SLEEPER, reserved=4)
    before = host.metric("roost_workers_started_total")
    begin = time.monotonic()
    answers = host.invoke_all("crowd", [{"seconds": 0.05}] * 100)
    seconds = time.monotonic() - begin
    assert [(a.status, a.function_error) for a in answers] == [(200, None)] * 100
    assert len({a.json["request"] for a in answers}) == 100
    starts = host.metric("roost_workers_started_total") - before
    assert 1 <= starts <= 4
    assert len(host.worker_pids("crowd")) <= 4
    record_property("starts", starts)
    record_property("seconds", round(seconds, 2))
    print(f"100 calls: {seconds:.2f} s, {starts:.0f} starts")


def test_an_idle_worker_is_gone_after_its_keep_alive_and_the_next_call_is_a_cold_start(host):
    host.create("sleepy", SLEEPER, keep_alive=1)
    assert host.invoke("sleepy").is_cold
    assert not host.invoke("sleepy").is_cold
    processes = Processes(host.sandbox_processes("sleepy"))
    last = time.monotonic()
    assert len(processes) >= 3  # two of bubblewrap's and the function's own
    time.sleep(0.5)
    assert len(processes.left()) == len(processes), "the worker ended before its keep-alive"
    until(lambda: not processes.left(), 3 - (time.monotonic() - last), "the end of the idle worker")
    assert host.workers("sleepy") == []
    again = host.invoke("sleepy")
    assert again.status == 200 and again.function_error is None and again.is_cold


def test_a_warm_worker_is_used_again_and_the_timing_says_so(host, record_property):
    host.create("warm", SLEEPER)
    cold = host.invoke("warm")
    pids = host.worker_pids("warm")
    times = []
    for _ in range(50):
        answer = host.invoke("warm")
        assert "init" not in answer.timing
        times.append(answer.seconds)
    assert host.worker_pids("warm") == pids and len(pids) == 1
    median = sorted(times)[25] * 1000
    record_property("cold_ms", round(cold.seconds * 1000, 1))
    record_property("warm_ms", round(median, 2))
    print(f"cold {cold.seconds * 1000:.1f} ms ({cold.timing}), warm {median:.2f} ms")


def test_keep_alive_zero_uses_each_worker_for_what_waits_and_no_longer(host):
    host.create("once", SLEEPER, keep_alive=0)
    assert host.invoke("once").is_cold
    until(lambda: not host.workers("once"), 3, "the end of the worker")
    assert host.invoke("once").is_cold


def test_a_worker_with_several_slots_runs_invocations_side_by_side(host):
    host.create("slots", SLEEPER, environment={"ROOST_WORKER_CONCURRENCY": "4"}, reserved=4)
    host.invoke("slots")
    before = host.metric("roost_workers_started_total")
    begin = time.monotonic()
    answers = host.invoke_all("slots", [{"seconds": 0.4}] * 4)
    assert [a.function_error for a in answers] == [None] * 4
    assert time.monotonic() - begin < 1.2
    assert host.metric("roost_workers_started_total") == before
    assert len(host.worker_pids("slots")) == 1


# MARK: - refusals

def test_a_function_with_no_concurrency_is_refused_at_once(host):
    host.create("closed", SLEEPER, reserved=0)
    answer = host.invoke("closed")
    assert answer.status == 429
    assert answer.headers["x-amzn-ErrorType"] == "TooManyRequestsException"
    assert answer.json["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.seconds < 1
    assert host.workers("closed") == []
    host.reserve("closed", 1)
    assert host.invoke("closed").status == 200


@pytest.fixture(scope="module")
def tight(tmp_path_factory):
    """A host with a short queue."""
    config = {"queueCapacity": 2, "queueWaitSeconds": 0.7}
    with RoostHost(tmp_path_factory.mktemp("tight") / "data", config) as host:
        host.create("narrow", SLEEPER, reserved=1)
        host.invoke("narrow")
        yield host


def test_a_full_queue_refuses_at_once_and_says_when_to_come_again(tight):
    answers = tight.invoke_all("narrow", [{"seconds": 0.2}] * 8)
    by_status = {status: [a for a in answers if a.status == status] for status in (200, 429)}
    assert len(by_status[200]) == 3  # one that runs, two that wait
    assert len(by_status[429]) == 5
    for refused in by_status[429]:
        assert refused.headers["x-amzn-ErrorType"] == "TooManyRequestsException"
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.seconds < 0.6, "a refusal does not wait"
    assert tight.invoke("narrow").status == 200


def test_a_call_that_waited_too_long_is_refused(tight):
    first = tight.in_background("narrow", {"seconds": 1.5})
    until(lambda: tight.workers("narrow", "busy"), 5)
    begin = time.monotonic()
    answer = tight.invoke("narrow")
    assert answer.status == 429 and "within 0.7" in answer.json["Detail"]
    assert 0.5 < time.monotonic() - begin < 1.3
    assert first.result(10).status == 200


# MARK: - the sandbox, from inside of a worker

LOOK = r"""
import errno, os, socket

def attempt(what):
    try:
        return what()
    except OSError as error:
        return errno.errorcode[error.errno]

def write(path):
    with open(path, "w") as file:
        file.write("x")
    return "written"

def connect(address):
    with socket.create_connection(address, timeout=1):
        return "connected"

def handler(event, context):
    return {
        "uid": os.getuid(), "gid": os.getgid(), "pid": os.getpid(), "cwd": os.getcwd(),
        "there": {path: os.path.exists(path) for path in event["paths"]},
        "task": attempt(lambda: write("/var/task/x")), "root": attempt(lambda: write("/x")),
        "usr": attempt(lambda: write("/usr/x")), "tmp": attempt(lambda: write("/tmp/" + event["name"])),
        "files": sorted(os.listdir("/tmp")),
        "networks": sorted(os.listdir("/sys/class/net")) if os.path.exists("/sys/class/net") else None,
        "host": attempt(lambda: connect(("127.0.0.1", event["port"]))),
        "internet": attempt(lambda: connect(("1.1.1.1", 53))),
        "environment": dict(os.environ),
        "status": {line.split(":")[0]: line.split(":")[1].strip() for line in open("/proc/self/status")},
        "descriptors": {name: attempt(lambda: os.readlink("/proc/self/fd/" + name)) for name in os.listdir("/proc/self/fd")},
        "processes": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
    }
"""


def test_a_worker_sees_its_own_files_and_nothing_of_the_machine(host, monkeypatch):
    host.create("look", LOOK, reserved=1, environment={"COLOUR": "blue"})
    home = os.path.expanduser("~")
    event = {"paths": [str(host.data_dir), str(BINARY), home, "/work", "/home", "/etc/shadow", "/var/task/index.py"],
             "port": host.port, "name": "a"}
    answer = host.invoke("look", event)
    assert answer.function_error is None, answer
    seen = answer.json
    assert seen["uid"] != 0 and seen["gid"] != 0
    assert {path for path, there in seen["there"].items() if there} == {"/var/task/index.py"}
    assert seen["cwd"] == "/var/task"
    assert (seen["task"], seen["root"], seen["usr"]) == ("EROFS", "EROFS", "EROFS")
    assert seen["tmp"] == "written"
    assert seen["host"] in ("ECONNREFUSED", "ENETUNREACH") and seen["internet"] == "ENETUNREACH"
    assert seen["status"]["NoNewPrivs"] == "1" and int(seen["status"]["CapEff"], 16) == 0
    assert len(seen["processes"]) <= 3
    assert seen["environment"]["COLOUR"] == "blue"
    assert seen["environment"]["AWS_LAMBDA_FUNCTION_NAME"] == "look"
    assert not {"HOME", "USER", "PYTEST_CURRENT_TEST", "ROOST_BINARY"} & set(seen["environment"])
    # Its log, its socket to the host and nothing of the host's.
    assert all(target.startswith(("/dev/null", "pipe:", "socket:", "/proc/")) or target == "ENOENT"
               for target in seen["descriptors"].values()), seen["descriptors"]


def test_each_worker_has_a_temporary_directory_of_its_own(host):
    host.create("private", LOOK, keep_alive=0)
    event = {"paths": ["/tmp/first"], "port": host.port, "name": "first"}
    assert host.invoke("private", event).json["files"] == ["first"]
    until(lambda: not host.workers("private"), 3)
    seen = host.invoke("private", {**event, "name": "second"}).json
    assert seen["files"] == ["second"] and not seen["there"]["/tmp/first"]


def test_a_function_with_network_reaches_the_host_and_finds_its_api(host):
    host.create("online", LOOK, environment={"ROOST_NETWORK": "true"})
    seen = host.invoke("online", {"paths": [], "port": host.port, "name": "a"}).json
    assert seen["host"] == "connected"
    assert seen["environment"]["AWS_ENDPOINT_URL_LAMBDA"] == host.endpoint
    assert seen["uid"] != 0


# MARK: - logs

CHATTY = """
import sys

print("imported")

def handler(event, context):
    for number in range(event.get("lines", 1)):
        print(event["word"], number)
    print("to stderr", file=sys.stderr)
    return context.aws_request_id
"""


def test_lines_of_a_log_name_the_invocation_that_wrote_them(host):
    host.create("chatty", CHATTY, reserved=1)
    first = host.invoke("chatty", {"word": "one", "lines": 2}, headers={"X-Amz-Log-Type": "Tail"}).json
    second = host.invoke("chatty", {"word": "two", "lines": 2}).json
    until(lambda: any(line[4] == "two 1" for line in host.log("chatty")), 3)
    lines = host.log("chatty")
    texts = {line[4]: line for line in lines}
    assert texts["imported"][3] == "-"
    assert texts["one 0"][3] == texts["one 1"][3] == first
    assert texts["two 0"][3] == texts["two 1"][3] == second
    assert {line[3] for line in lines if line[4] == "to stderr"} == {first, second}
    assert all(line[1] == "$LATEST" and line[0].endswith("Z") for line in lines)
    assert len(host.log("chatty", lines=3)) == 3


def test_the_tail_of_the_log_comes_with_the_answer_that_asked_for_it(host):
    import base64

    host.create("tail", CHATTY)
    answer = host.invoke("tail", {"word": "here"}, headers={"X-Amz-Log-Type": "Tail"})
    text = base64.b64decode(answer.headers["X-Amz-Log-Result"]).decode()
    request = answer.headers["x-amzn-RequestId"]
    assert f"START RequestId: {request} Version: $LATEST" in text
    assert "here 0\n" in text and "to stderr\n" in text
    assert f"END RequestId: {request}" in text and "Billed Duration:" in text


def test_a_log_can_be_followed(host):
    host.create("followed", CHATTY)
    host.invoke("followed", {"word": "before"})
    follower = subprocess.Popen(
        [BINARY, "logs", "followed", "--follow", "--endpoint", host.endpoint], stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL, text=True)
    got = []
    reader = threading.Thread(target=lambda: got.extend(iter(follower.stdout.readline, "")), daemon=True)
    reader.start()
    try:
        until(lambda: any("before 0" in line for line in got), 5, "the line from before")
        host.invoke("followed", {"word": "after"})
        until(lambda: any("after 0" in line for line in got), 5, "the line from after")
    finally:
        follower.send_signal(signal.SIGINT)
        follower.wait(5)
    # Whoever went away is forgotten, and the host serves on.
    assert host.invoke("followed", {"word": "later"}).status == 200


def test_a_log_is_bounded_on_the_disk(host):
    host.create("flood", """
def handler(event, context):
    line = "x" * 1000
    for number in range(event["lines"]):
        print(line, flush=number % 500 == 0)
    return None
""", timeout=60)
    directory = host.data_dir / "logs" / "flood"
    # Lines that come faster than a busy disk takes them are dropped, so it may take some more.
    for _ in range(12):
        answer = host.invoke("flood", {"lines": 9_000})
        assert answer.status == 200 and answer.function_error is None, answer
        if (directory / "log.1").exists():
            break
    until(lambda: (directory / "log.1").exists(), 5, "the rotation")
    sizes = {path.name: path.stat().st_size for path in directory.iterdir()}
    assert set(sizes) <= {"log", "log.1"}
    assert sum(sizes.values()) <= 2 * ((8 << 20) + (2 << 20)), sizes
    assert len(host.log("flood", lines=50)) == 50


def test_a_line_without_an_end_costs_one_bounded_buffer(host):
    host.create("endless", """
import sys

def handler(event, context):
    for _ in range(64):
        sys.stdout.write("y" * (1 << 20))
    sys.stdout.flush()
    return None
""", timeout=60)
    before = resident(host.pid)
    answer = host.invoke("endless")
    assert answer.function_error is None, answer
    assert resident(host.pid) - before < 32 << 20
    assert max(len(line[4]) for line in host.log("endless", lines=10)) <= 1 << 20


def resident(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10


# MARK: - one host and its data

def test_a_second_host_on_the_same_data_is_refused(host):
    done = subprocess.run(
        [BINARY, "serve", "--listen", "127.0.0.1:0", "--data-dir", str(host.data_dir)], capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=20)
    assert done.returncode == 1 and done.stdout == ""
    assert str(host.data_dir) in done.stderr or "in use" in done.stderr, done.stderr
    assert host.request("GET", "/readyz").status == 200


def test_functions_versions_and_aliases_are_there_again_after_a_restart(tmp_path):
    with RoostHost(tmp_path / "data") as host:
        host.create("kept", SLEEPER, publish=True, reserved=3)
        host.set_alias("kept", "live", 1)
        host.kill9()
        host.start()
        assert host.invoke("kept", qualifier="live").headers["X-Amz-Executed-Version"] == "1"
        assert host.call("GET", "/2019-09-30/functions/kept/concurrency") == {"ReservedConcurrentExecutions": 3}


# MARK: - the end

def test_sigterm_lets_an_invocation_finish_and_the_host_exits_with_0(tmp_path):
    with RoostHost(tmp_path / "data") as host:
        host.create("slow", SLEEPER)
        host.invoke("slow")
        answer = host.in_background("slow", {"seconds": 1})
        until(lambda: host.workers("slow", "busy"), 5)
        processes = Processes(descendants(host.pid))
        begin = time.monotonic()
        host.terminate()
        assert host.exit_code() == 0
        assert 0.5 < time.monotonic() - begin < 4
        assert answer.result(5).status == 200 and answer.result().function_error is None
        until(lambda: not processes.left(), 2, "the end of all workers")


def test_sigterm_refuses_new_connections_and_ends_idle_ones(tmp_path):
    with RoostHost(tmp_path / "data") as host:
        host.create("slow", SLEEPER)
        host.invoke("slow")
        idle = socket.create_connection(("127.0.0.1", host.port))
        answer = host.in_background("slow", {"seconds": 1})
        until(lambda: host.workers("slow", "busy"), 5)
        port = host.port
        host.terminate()

        def refused():
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    return False
            # Reset: it waited to be accepted when the listener closed.
            except (ConnectionRefusedError, ConnectionResetError):
                return True
        until(refused, 1, "the end of the listener")
        idle.settimeout(3)
        assert idle.recv(1) == b""
        assert answer.result(5).status == 200
        assert host.exit_code() == 0


def test_what_does_not_finish_within_the_limit_is_killed_at_shutdown(tmp_path):
    with RoostHost(tmp_path / "data", {"shutdownSeconds": 0.5}) as host:
        host.create("slow", SLEEPER, timeout=60)
        host.invoke("slow")
        answer = host.in_background("slow", {"seconds": 50})
        until(lambda: host.workers("slow", "busy"), 5)
        processes = Processes(descendants(host.pid))
        begin = time.monotonic()
        host.terminate()
        assert host.exit_code() == 0
        assert time.monotonic() - begin < 5
        until(lambda: not processes.left(), 2, "the end of all workers")
        # An answer that says so, or the end of the connection; never a success.
        try:
            assert answer.result(5).function_error == "Unhandled" or answer.result().status >= 500
        except (ConnectionError, OSError):
            pass


def test_a_signal_during_the_start_of_a_worker_does_not_keep_the_host(tmp_path):
    with RoostHost(tmp_path / "data") as host:
        host.create("importing", "import time\ntime.sleep(20)\ndef handler(event, context): pass\n")
        answer = host.in_background("importing", {})
        until(lambda: host.workers("importing", "starting"), 5)
        begin = time.monotonic()
        host.terminate()
        assert host.exit_code() == 0
        assert time.monotonic() - begin < 5
        try:
            assert answer.result(5).status in (429, 503)
        except (ConnectionError, OSError):
            pass


def test_those_who_follow_a_log_or_send_half_a_request_do_not_keep_the_host(tmp_path):
    with RoostHost(tmp_path / "data") as host:
        host.create("followed", CHATTY)
        host.invoke("followed", {"word": "x"})
        clients = [socket.create_connection(("127.0.0.1", host.port)) for _ in range(3)]
        clients[0].sendall(b"GET /roost/v1/functions/followed/logs?follow=true HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" in clients[0].recv(1000)
        clients[1].sendall(b"POST /2015-03-31/functions/followed/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Le")
        clients[2].sendall(b"POST /2015-03-31/functions/followed/invocations HTTP/1.1\r\nHost: localhost\r\n"
                           b"Content-Length: 100\r\n\r\n{")
        begin = time.monotonic()
        host.terminate()
        assert host.exit_code() == 0
        assert time.monotonic() - begin < 8, "they are not what a shutdown waits for"
        for client in clients:
            client.close()


# MARK: - other ways to run a host

@pytest.fixture(params=["ordinary user", "no sandbox"])
def other(request):
    """A host that is not root, and one without bubblewrap. Their workers must be able to reach the data directory."""
    arguments, user = [], None
    if request.param == "no sandbox":
        arguments = ["--sandbox", "none"]
    else:
        user = ordinary_user()
    with tempfile.TemporaryDirectory(prefix="roost-") as directory:
        os.chmod(directory, 0o755)
        with RoostHost(Path(directory) / "data", arguments=arguments, user=user) as host:
            yield host


def test_an_ordinary_user_and_no_sandbox_do_the_same(other):
    host = other
    host.create("plain", LOOK, reserved=2, timeout=1)
    event = {"paths": [], "port": host.port, "name": "a"}
    seen = host.invoke("plain", event).json
    assert seen["uid"] != 0 and seen["status"]["NoNewPrivs"] == "1" and int(seen["status"]["CapEff"], 16) == 0
    assert seen["environment"]["AWS_LAMBDA_FUNCTION_NAME"] == "plain"
    host.create("plain-sleeper", SLEEPER, timeout=1, reserved=1)
    assert host.invoke("plain-sleeper", {"seconds": 5}).json["errorType"] == "Sandbox.Timedout"
    assert host.invoke("plain-sleeper").function_error is None
    call = host.in_background("plain-sleeper", {"seconds": 0.9})
    until(lambda: host.workers("plain-sleeper", "busy"), 5)
    for pid in host.worker_pids("plain-sleeper"):
        os.kill(pid, signal.SIGKILL)
    assert call.result(5).json["errorMessage"].endswith("signal: killed")
    files = {"m.py": """
import os, pathlib
def infer(event, context):
    return (pathlib.Path(os.environ["ROOST_MODEL_DIR"]) / "x").read_text()
def train(event, context):
    (pathlib.Path(os.environ["ROOST_OUTPUT_DIR"]) / "x").write_text(
        (pathlib.Path(os.environ["ROOST_CHANNEL_TRAIN"]) / "data").read_text())
    return {}
"""}
    host.create("model", files=files, handler="m.infer")
    host.create("model-train", files=files, handler="m.train", environment={"ROOST_TRAINS": "model"})
    channel = host.upload({"data": b"seven"})
    execution = host.finished(host.start_execution("model-train", {"roost": {"channels": {"train": channel}}}))
    assert execution["Status"] == "SUCCEEDED", execution
    assert host.invoke("model").json == "seven"
    processes = Processes(descendants(host.pid))
    assert len(processes) >= 2
    host.kill9()
    until(lambda: not processes.left(), 3, "the end of every worker")
    host.start()
    assert host.invoke("plain-sleeper").function_error is None


def test_no_child_of_the_host_stays_a_zombie(host):
    until(lambda: "Z" not in host.children().values(), 3, "the burial of every child")
    assert all(name != "roost-launch" for _, _, name in (process_table()[pid] for pid in host.children()))
