"""What goes wrong in a worker: the call that it hits says what it was, and the next one works."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from roost_host import SLEEPER, Processes, RoostHost, descendants, until


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with RoostHost(tmp_path_factory.mktemp("faults") / "data") as host:
        yield host


def error(answer):
    """(type, message) of a function error."""
    assert answer.status == 200 and answer.function_error == "Unhandled", answer
    return answer.json["errorType"], answer.json["errorMessage"]


def works(host, name, event=None):
    answer = host.invoke(name, event)
    return answer.status == 200 and answer.function_error is None


# MARK: - the end of a worker

def test_a_worker_killed_in_the_middle_fails_its_call_and_nothing_else(host):
    host.create("victim", SLEEPER, reserved=1)
    assert works(host, "victim")
    [pid] = host.worker_pids("victim")
    processes = Processes(host.sandbox_processes("victim"))
    descriptors = host.descriptors()
    for _ in range(3):
        call = host.in_background("victim", {"seconds": 30})
        until(lambda: host.workers("victim", "busy"), 5)
        [pid] = host.worker_pids("victim")
        os.kill(pid, signal.SIGKILL)
        begin = time.monotonic()
        kind, message = error(call.result(10))
        assert time.monotonic() - begin < 2
        assert kind == "Runtime.ExitError"
        assert message.endswith("Runtime exited with error: signal: killed")
        assert call.result().headers["X-Amz-Executed-Version"] == "$LATEST"
        assert works(host, "victim"), "the next call gets a new worker"
    assert not processes.left()
    until(lambda: "Z" not in host.children().values(), 3, "the burial of the worker")
    # As many as with one worker before; connections of these calls are closed or counted below.
    until(lambda: host.descriptors() <= descriptors + 3, 3, "the end of the descriptors")


def test_descriptors_and_processes_do_not_grow_with_failed_workers(host):
    host.create("leaky", "import os\ndef handler(event, context): os._exit(event['code'])\n", reserved=1)
    error(host.invoke("leaky", {"code": 3}))
    until(lambda: not host.workers("leaky"), 3)
    descriptors, children = host.descriptors(), len(host.children())
    for code in range(10):
        kind, message = error(host.invoke("leaky", {"code": code}))
        assert kind == "Runtime.ExitError"
        expected = f"exit status {code}" if code else "Runtime exited without providing a reason"
        assert message.endswith(expected), message
    until(lambda: not host.workers("leaky"), 3)
    until(lambda: host.descriptors() <= descriptors and len(host.children()) <= children, 3, "the end of what they had")


def test_a_worker_that_hangs_up_on_all_its_slots_ends_alone(host):
    host.create("rude", """
import os, socket, stat, time

def handler(event, context):
    for number in range(3, 100):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                socket.socket(fileno=os.dup(number)).shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
    time.sleep(30)
""", environment={"ROOST_WORKER_CONCURRENCY": "4"})
    kind, message = error(host.invoke("rude"))
    assert kind == "Runtime.ProtocolViolation" and message.endswith("the worker closed its connection to the host")
    until(lambda: not host.workers("rude"), 5)


@pytest.mark.parametrize("number, name", [(signal.SIGSEGV, "segmentation fault"), (signal.SIGTERM, "terminated")])
def test_the_signal_that_ended_a_worker_is_named(host, number, name):
    function = f"signal-{int(number)}"
    host.create(function, f"import os\ndef handler(event, context): os.kill(os.getpid(), {int(number)})\n")
    kind, message = error(host.invoke(function))
    assert kind == "Runtime.ExitError"
    assert f"signal: {name}" in message


def test_an_idle_worker_that_dies_costs_no_call(host):
    host.create("mortal", SLEEPER, reserved=1)
    assert works(host, "mortal")
    [pid] = host.worker_pids("mortal")
    os.kill(pid, signal.SIGKILL)
    until(lambda: pid not in host.worker_pids("mortal"), 3)
    # At once: before or after the host has heard of it, nobody gets the dead worker's slot.
    until(lambda: not host.workers("mortal"), 3)
    answer = host.invoke("mortal")
    assert answer.function_error is None and answer.is_cold


def test_an_exception_is_the_functions_own_error_and_the_worker_lives_on(host):
    host.create("raising", "def handler(event, context): raise ValueError('no such thing')\n")
    assert error(host.invoke("raising")) == ("ValueError", "no such thing")
    pids = host.worker_pids("raising")
    assert error(host.invoke("raising"))[0] == "ValueError"
    assert host.worker_pids("raising") == pids


# MARK: - time limits

DAEMON = """
import os, sys, time

def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                time.sleep(1)
        os._exit(0)

if {at_import}:
    daemon()
    time.sleep(60)

def handler(event, context):
    if event.get("daemon"):
        daemon()
    time.sleep(event.get("seconds", 0))
    return "fine"
"""


def test_an_invocation_over_its_time_is_ended_with_all_that_it_started(host):
    host.create("late", DAEMON.format(at_import=False), timeout=1, reserved=1)
    assert works(host, "late")
    begin = time.monotonic()
    call = host.in_background("late", {"seconds": 30, "daemon": True})
    # bubblewrap's two, the function, and the daemon that it left behind.
    until(lambda: len(host.worker_pids("late")) >= 2, 3, "the daemon")
    processes = Processes(host.sandbox_processes("late"))
    kind, message = error(call.result(10))
    assert 0.9 < time.monotonic() - begin < 3
    assert kind == "Sandbox.Timedout" and "Task timed out after 1.00 seconds" in message
    assert works(host, "late")
    until(lambda: not processes.left(), 2, "the end of the daemon")


def test_the_deadline_counts_from_the_dispatch_not_from_the_queue(host):
    host.create("queueing", SLEEPER, timeout=1, reserved=1)
    assert works(host, "queueing")
    answers = host.invoke_all("queueing", [{"seconds": 0.6}] * 4)
    assert [a.function_error for a in answers] == [None] * 4


def test_an_init_over_its_time_fails_all_who_wait_and_leaves_nothing_behind(host):
    host.create("neverready", DAEMON.format(at_import=True), environment={"ROOST_INIT_TIMEOUT": "1"}, reserved=1)
    calls = [host.in_background("neverready", {}) for _ in range(3)]
    until(lambda: len(host.worker_pids("neverready")) >= 2, 3, "the daemon")
    processes = Processes(host.sandbox_processes("neverready"))
    for call in calls:
        kind, message = error(call.result(10))
        assert kind == "Sandbox.Timedout" and message == "Init timed out after 1.00 seconds"
    until(lambda: not processes.left(), 2, "the end of the daemon")
    assert host.workers("neverready") == []
    host.update_code("neverready", SLEEPER)
    assert works(host, "neverready"), "new code does not inherit the back-off"


# MARK: - init failures

def test_a_failed_init_is_told_to_all_who_waited_with_its_log_and_then_starts_pause(host):
    import base64

    host.create("broken", "print('about to fail')\nimport no_such_module\n", reserved=2)
    begin = time.monotonic()
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(
            lambda _: host.invoke("broken", {}, headers={"X-Amz-Log-Type": "Tail"}), range(20)))
    assert time.monotonic() - begin < 5
    failed = [a for a in answers if a.status == 200]
    assert failed
    for answer in failed:
        kind, message = error(answer)
        assert kind == "Runtime.ImportModuleError" and "no_such_module" in message
        assert "about to fail" in base64.b64decode(answer.headers["X-Amz-Log-Result"]).decode()
    # Those that came after the failure, and all for a while, are told when to come again.
    answer = host.invoke("broken")
    for refused in [answer, *(a for a in answers if a.status != 200)]:
        assert refused.status == 429, refused
        assert refused.headers["x-amzn-ErrorType"] == "TooManyRequestsException"
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.seconds < 1
    starts = host.metric("roost_workers_started_total")
    for _ in range(20):
        host.invoke("broken")
    assert host.metric("roost_workers_started_total") - starts <= 1
    # After the pause the next one tries again, and gets the error itself.
    again = until(lambda: (a := host.invoke("broken")).status == 200 and a, 4, "the end of the pause")
    assert error(again)[0] == "Runtime.ImportModuleError"
    host.update_code("broken", SLEEPER)
    assert works(host, "broken")


@pytest.mark.parametrize("source, handler, kind", [
    ("def other(): pass\n", "index.handler", "Runtime.HandlerNotFound"),
    ("def handler(:\n", "index.handler", "Runtime.UserCodeSyntaxError"),
    ("import os\nos._exit(7)\n", "index.handler", "Runtime.ExitError"),
    ("raise RuntimeError('not today')\n", "index.handler", "RuntimeError"),
    ("def handler(event, context): pass\n", "absent.handler", "Runtime.ImportModuleError"),
])
def test_each_way_to_fail_before_the_first_call_has_its_name(host, source, handler, kind):
    name = "init-" + kind.replace(".", "-") + "-" + handler.split(".")[0]
    host.create(name, source, handler=handler)
    assert error(host.invoke(name))[0] == kind


# MARK: - workers that speak nonsense

FOREIGN = """#!/usr/bin/python3
import http.client, json, os, socket, sys, time

host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")

def raw():
    return socket.create_connection((host, int(port)))

def take(connection):
    connection.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = connection.getresponse()
    return answer.headers["Lambda-Runtime-Aws-Request-Id"], json.loads(answer.read())

connection = http.client.HTTPConnection(host, int(port))
def answer(identifier, body=b'"fine"', connection=connection):
    connection.request("POST", f"/2018-06-01/runtime/invocation/{identifier}/response", body)
    reply = connection.getresponse()
    return reply.status, reply.read()

"""


def test_nonsense_instead_of_an_answer_ends_the_worker_and_is_named(host):
    host.create("nonsense", FOREIGN + """
while True:
    identifier, event = take(connection)
    if event.get("nonsense"):
        raw_socket = raw()
        raw_socket.sendall(b"\\x00\\xffthis is no HTTP\\r\\n\\r\\n")
        raw_socket.recv(100)
        time.sleep(60)
    answer(identifier)
""", runtime="provided", reserved=1)
    assert works(host, "nonsense")
    processes = Processes(host.sandbox_processes("nonsense"))
    begin = time.monotonic()
    kind, message = error(host.invoke("nonsense", {"nonsense": True}))
    assert time.monotonic() - begin < 3
    assert kind == "Runtime.ProtocolViolation" and "malformed" in message, (kind, message)
    assert works(host, "nonsense")
    assert not processes.left()


def test_nonsense_before_the_first_next_is_named_too(host):
    host.create("babble", FOREIGN + """
raw_socket = raw()
raw_socket.sendall(b"\\x00\\xffthis is no HTTP\\r\\n\\r\\n")
raw_socket.recv(100)
time.sleep(60)
""", runtime="provided")
    begin = time.monotonic()
    kind, message = error(host.invoke("babble"))
    assert time.monotonic() - begin < 3
    assert kind == "Runtime.ProtocolViolation" and "malformed" in message, (kind, message)


def test_an_answer_to_another_invocation_is_refused_and_the_right_one_counts(host):
    host.create("confused", FOREIGN + """
while True:
    identifier, event = take(connection)
    refused = answer("00000000-0000-0000-0000-000000000000")
    assert refused[0] == 400, refused
    twice = [answer(identifier, json.dumps(refused[1].decode()).encode()), answer(identifier)]
    assert [status for status, _ in twice] in ([202, 400], [202, 403], [202, 410]), twice
""", runtime="provided")
    for _ in range(2):
        answer = host.invoke("confused")
        assert answer.function_error is None, answer
        assert json.loads(answer.json)["errorType"] == "InvalidRequestID"


def test_half_an_answer_is_none(host):
    host.create("half", FOREIGN + """
while True:
    identifier, event = take(connection)
    half = raw()
    half.sendall(f"POST /2018-06-01/runtime/invocation/{identifier}/response HTTP/1.1\\r\\nHost: runtime\\r\\n"
                 "Content-Length: 100\\r\\n\\r\\n".encode() + b'"half of')
    time.sleep(0.1)
    half.close()
    time.sleep(0.1)
    answer(identifier, b'"whole"')
""", runtime="provided", timeout=3)
    answer = host.invoke("half")
    # Either the whole answer that came after, or an error; never both halves together.
    assert answer.body == b'"whole"' or answer.function_error, answer


def test_chunked_answers_and_many_connections_are_fine(host):
    host.create("chunky", FOREIGN + """
while True:
    identifier, event = take(http.client.HTTPConnection(host, int(port)))
    other = http.client.HTTPConnection(host, int(port))
    other.request("POST", f"/2018-06-01/runtime/invocation/{identifier}/response", iter([b'{"a":', b' "b"}']))
    assert other.getresponse().status == 202
""", runtime="provided")
    for _ in range(3):
        answer = host.invoke("chunky")
        assert answer.json == {"a": "b"}, answer


def test_a_worker_that_never_comes_back_after_its_answer_does_not_keep_the_next_call_waiting_for_ever(host):
    host.create("gone", FOREIGN + """
identifier, event = take(connection)
answer(identifier)
sys.exit(0)
""", runtime="provided", reserved=1)
    for _ in range(3):
        assert works(host, "gone")


def test_a_package_without_a_bootstrap_is_refused_before_anything_runs(host):
    package = host.package(files={"readme.txt": "nothing here"})
    answer = host.request("POST", "/2015-03-31/functions", {
        "FunctionName": "empty-package", "Runtime": "provided", "Role": "arn:aws:iam::000000000000:role/roost",
        "Handler": "x", "Code": {"ZipFile": package}})
    assert answer.status == 400 and "bootstrap" in answer.json["message"], answer


def test_a_bootstrap_that_cannot_be_executed_says_so(host):
    host.create("no-interpreter", "#!/no/such/interpreter\n", runtime="provided")
    kind, message = error(host.invoke("no-interpreter"))
    assert kind == "Runtime.ExitError" and "exit status 127" in message, (kind, message)
    assert any("bootstrap" in line[4] for line in host.log("no-interpreter")), host.log("no-interpreter")


def test_an_answer_that_is_too_large_is_refused_and_the_worker_lives_on(host):
    host.create("large", "def handler(event, context): return 'x' * event['bytes']\n", reserved=1)
    assert len(host.invoke("large", {"bytes": 6_000_000}).body) == 6_000_002
    pids = host.worker_pids("large")
    kind, message = error(host.invoke("large", {"bytes": 6_300_000}))
    assert kind == "Function.ResponseSizeTooLarge"
    assert host.invoke("large", {"bytes": 1}).json == "x"
    assert host.worker_pids("large") == pids


# MARK: - clients that go away

def test_a_client_that_goes_away_costs_nothing_but_its_own_call(host):
    import socket

    host.create("abandoned", SLEEPER, reserved=1)
    assert works(host, "abandoned")
    descriptors = host.descriptors()
    request = (b"POST /2015-03-31/functions/abandoned/invocations HTTP/1.1\r\nHost: localhost\r\n"
               b"Content-Length: 16\r\n\r\n" + b'{"seconds": 0.3}')
    for part in (request, request[:40], request[:-3]):
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", host.port)) as client:
                client.sendall(part)
    until(lambda: not any(pool["Queued"] or pool["Running"] for pool in host.pools("abandoned")), 10, "the end of the calls")
    assert works(host, "abandoned")
    until(lambda: host.descriptors() <= descriptors, 3, "the end of the connections")


def test_a_client_that_does_not_read_its_answer_holds_up_nobody(host):
    import socket

    host.create("wide", "def handler(event, context): return 'x' * 5_000_000\n", reserved=1)
    assert works(host, "wide")
    request = b"POST /2015-03-31/functions/wide/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
    clients = [socket.create_connection(("127.0.0.1", host.port)) for _ in range(4)]
    for client in clients:
        client.sendall(request)
    assert works(host, "wide")
    for client in clients:
        client.close()
    assert works(host, "wide")


# MARK: - the end of the host

def test_no_worker_outlives_a_host_that_was_killed(tmp_path):
    with RoostHost(tmp_path / "data") as host:
        host.create("orphan", DAEMON.format(at_import=False), reserved=2)
        call = host.in_background("orphan", {"seconds": 60, "daemon": True})
        until(lambda: host.workers("orphan", "busy"), 5)
        assert works(host, "orphan")
        until(lambda: len(host.worker_pids("orphan")) >= 3, 5, "the daemon")
        processes = Processes(descendants(host.pid))
        assert len(processes) >= 7
        host.kill9()
        until(lambda: not processes.left(), 3, "the end of all workers")
        with pytest.raises((ConnectionError, OSError)):
            call.result(5)
        host.start()
        assert works(host, "orphan")


def test_a_host_that_is_killed_at_any_moment_starts_again(tmp_path):
    """Twelve kills under a mix of creates, publishes and executions: what was acknowledged is there."""
    with RoostHost(tmp_path / "data", {"retryDelaysSeconds": [0.1, 0.1]}) as host:
        host.create("base", SLEEPER)
        acknowledged, executions = [], []
        for round in range(12):
            deadline = time.monotonic() + 0.02 * (round + 1)
            number = 0
            while time.monotonic() < deadline:
                name = f"f{round}-{number}"
                host.create(name, SLEEPER, publish=True)
                acknowledged.append(name)
                executions.append(host.start_execution("base", {"seconds": 0}))
                number += 1
            host.kill9()
            host.start()
        listed, marker = set(), ""
        while True:
            page = host.call("GET", "/2015-03-31/functions?MaxItems=50" + (f"&Marker={marker}" if marker else ""))
            listed |= {function["FunctionName"] for function in page["Functions"]}
            marker = page.get("NextMarker")
            if not marker:
                break
        assert set(acknowledged) <= listed
        assert [v["Version"] for v in host.versions(acknowledged[-1])] == ["1"]
        for identifier in executions:
            assert host.finished(identifier, 30)["Status"] == "SUCCEEDED"


# MARK: - more ways to lose a worker

@pytest.mark.parametrize("which", ["outer", "inner"])
def test_the_end_of_the_sandbox_itself_is_the_end_of_the_worker(host, which):
    name = f"sandbox-{which}"
    host.create(name, SLEEPER, reserved=1)
    assert works(host, name)
    call = host.in_background(name, {"seconds": 30})
    until(lambda: host.workers(name, "busy"), 5)
    pids = host.sandbox_processes(name)
    processes = Processes(pids)
    outer = next(pid for pid in pids if pid in host.children())
    inner = next(iter(descendants(outer) - descendants(max(host.worker_pids(name))) - set(host.worker_pids(name))))
    os.kill({"outer": outer, "inner": inner}[which], signal.SIGKILL)
    assert error(call.result(10))[0] == "Runtime.ExitError"
    assert works(host, name)
    until(lambda: not processes.left(), 3, "the end of what was in it")


def test_a_worker_that_is_frozen_is_ended_when_its_time_is_over(host):
    host.create("frozen", SLEEPER, timeout=1, reserved=1)
    assert works(host, "frozen")
    [pid] = host.worker_pids("frozen")
    os.kill(pid, signal.SIGSTOP)
    assert error(host.invoke("frozen"))[0] == "Sandbox.Timedout"
    assert works(host, "frozen")
    until(lambda: start_gone(pid), 3)


def start_gone(pid):
    return not Path(f"/proc/{pid}").exists()


def test_a_function_that_closes_its_output_goes_on(host):
    host.create("quiet", "import os\nos.close(1)\nos.close(2)\ndef handler(event, context): return 1\n", reserved=1)
    for _ in range(3):
        assert host.invoke("quiet").json == 1
    assert len(host.worker_pids("quiet")) == 1


def test_workers_that_die_all_the_time_under_load_fail_their_own_calls_only(host):
    import random
    import threading

    host.create("chaos", SLEEPER, reserved=4)
    assert works(host, "chaos")
    descriptors = host.descriptors()
    chosen = random.Random(7)
    stop = threading.Event()
    killed = 0

    def kill():
        nonlocal killed
        while not stop.wait(0.05):
            pids = host.worker_pids("chaos")
            if pids:
                try:
                    os.kill(chosen.choice(pids), signal.SIGKILL)
                    killed += 1
                except ProcessLookupError:
                    pass

    killer = threading.Thread(target=kill)
    killer.start()
    answers = []
    try:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            answers += host.invoke_all("chaos", [{"seconds": 0.01}] * 12)
    finally:
        stop.set()
        killer.join()
    failed = [a for a in answers if a.function_error or a.status != 200]
    print(f"{len(answers)} calls, {killed} kills, {len(failed)} failed")
    assert killed > 10 and len(answers) > 100
    for answer in failed:
        # One that dies before its first `next` has failed to start.
        assert answer.status == 429 or answer.json["errorType"] == "Runtime.ExitError", answer
    assert len([a for a in failed if a.status == 200]) <= killed * 12
    until(lambda: works(host, "chaos"), 10, "a call that works")
    assert len(host.workers("chaos")) <= 4
    until(lambda: host.descriptors() <= descriptors + 3 * 4, 3, "the end of the descriptors")
    until(lambda: "Z" not in host.children().values(), 3)


def test_a_host_under_a_path_with_odd_letters_works(tmp_path):
    with RoostHost(tmp_path / "my däta's \"folder\"") as host:
        host.create("odd", SLEEPER)
        assert works(host, "odd")


def test_a_small_memory_budget_is_kept_and_everybody_gets_a_turn(tmp_path):
    with RoostHost(tmp_path / "data", {"memoryMegabytes": 256}) as host:
        for number in range(4):
            host.create(f"f{number}", SLEEPER, memory=128)
        for turn in range(2):
            for number in range(4):
                assert works(host, f"f{number}")
                assert sum(len(host.workers(f"f{n}", s)) for n in range(4) for s in ("idle", "busy", "starting")) <= 2
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda n: host.invoke(f"f{n % 4}", {"seconds": 0.02}), range(64)))
        assert {(a.status, a.function_error) for a in answers} == {(200, None)}
        host.create("giant", SLEEPER, memory=512)
        assert error(host.invoke("giant"))[0] == "Roost.MemoryLimit"
