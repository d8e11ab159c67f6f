"""The python3 runtime against a host made of nothing: real processes, real sockets, one test per promise."""

import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import textwrap
import threading
import time

import pytest

from runtime_host import BOOTSTRAP, PYTHON, ROOT, Gone, Slot, Worker

VERSION = tuple(map(int, subprocess.check_output(
    [PYTHON, "-c", "import sys; print(*sys.version_info[:2])"], text=True).split()))
ASCII_ONLY = VERSION < (3, 12)  # as on Lambda
ECHO = "def handler(event, context):\n    return event\n"


@pytest.fixture
def worker(tmp_path):
    """Starts a worker for the text of a module `function`; closes what a test left open."""
    started = []

    def start(source=ECHO, **options):
        (tmp_path / "function.py").write_text(textwrap.dedent(source), encoding="utf-8")
        it = Worker(tmp_path, **options)
        started.append(it)
        return it

    yield start
    for it in started:
        it.close()


# MARK: order and cost

def test_the_first_thing_a_worker_says_is_next_and_end_of_file_ends_it(worker):
    it = worker()
    request = it.slot.expect_next()
    assert request.body == b"" and it.slot.buffer == b""
    assert it.finish() == (0, "", "")


def test_an_outcome_and_the_next_request_arrive_in_one_piece(worker):
    it = worker()
    it.slot.expect_next()
    acknowledge = b""
    for n in range(20):
        before = it.slot.reads
        it.slot.send(acknowledge + it.slot.event_bytes({"n": n}))
        kind, request = it.slot.outcome()
        it.slot.expect_next()
        assert (kind, request.json) == ("response", {"n": n})
        assert it.slot.reads == before + 1 and it.slot.buffer == b""
        assert request.headers["content-type"] == "application/json"
        acknowledge = Slot.ACCEPTED
    assert it.finish()[0] == 0


@pytest.mark.skipif(not shutil.which("strace"), reason="NOT COUNTED: strace is not installed")
def test_a_warm_call_is_one_write_and_one_read(worker, tmp_path):
    trace = tmp_path / "trace"
    it = worker(prefix=["strace", "-s", "80", "-o", str(trace)])
    it.slot.expect_next()
    for n in range(10):
        it.slot.send((Slot.ACCEPTED if n else b"") + it.slot.event_bytes({"n": n}))
        it.slot.outcome()
        it.slot.expect_next()
    assert it.finish()[0] == 0
    lines = trace.read_text().splitlines()
    first = next(index for index, line in enumerate(lines) if "invocation/next" in line)
    memory = ("brk", "mmap", "munmap", "mremap", "madvise")  # the allocator's, a few in all and not per call
    during = [call for line in lines[first:] if (call := line.split("(")[0]) not in memory and "exit" not in call]
    # next; then ten times (read event, write outcome); then the read that finds the end.
    assert during == ["write"] + ["read", "write"] * 10 + ["read"], during


def test_acknowledgement_and_event_may_arrive_apart_and_in_pieces(worker):
    it = worker()
    it.slot.expect_next()
    for _ in range(2):
        for byte in it.slot.event_bytes({"slow": True}):
            it.slot.send(bytes([byte]))
        assert it.slot.outcome()[1].json == {"slow": True}
        it.slot.expect_next()
        it.slot.send(Slot.ACCEPTED[:7])
        time.sleep(0.01)
        it.slot.send(Slot.ACCEPTED[7:])


@pytest.mark.parametrize("status", [400, 403, 410, 413])
def test_a_refused_outcome_does_not_stop_the_worker(worker, status):
    it = worker()
    it.slot.expect_next()
    it.slot.send(it.slot.event_bytes(1))
    it.slot.outcome()
    it.slot.expect_next()
    it.slot.send(Slot.answer_bytes(status, b'{"errorType":"X"}'))
    assert it.slot.invoke(2)[1].json == 2


def test_a_refused_next_ends_the_worker(worker):
    it = worker()
    it.slot.expect_next()
    it.slot.send(Slot.answer_bytes(500))
    code, _, err = it.finish(hang_up=False)
    assert code == 1 and "500" in err


def test_the_host_hanging_up_in_the_middle_ends_the_worker(worker):
    for part in (10, -1):
        it = worker()
        it.slot.expect_next()
        it.slot.send(it.slot.event_bytes({"a": "b"})[:part])
        assert it.finish()[0] == 0


# MARK: values

@pytest.mark.parametrize("event", [
    None, True, False, 0, -1, 2 ** 80, 1.5, -2.5e-300, "", "text", "世界 \U0001f600 \" \\ / \b\f\n\r\t\x00", "\u2028",
    [], {}, [[[]]], {"": {"é": ["x", None]}}, [1e400], list(range(1000)),
], ids=repr)
def test_values_come_back_as_they_went(worker, event):
    it = worker()
    it.slot.expect_next()
    kind, request = it.slot.invoke(event)
    assert (kind, request.json) == ("response", event)


@pytest.mark.parametrize("text, expected", [
    (b' \t\r\n{"a" : [ 1 , 2 ] }\n ', {"a": [1, 2]}),
    ('"世"'.encode(), "世"),
    (b'"\\ud800"', "\ud800"),
    (b'"\\u4e16\\u754c"', "世界"),
    (b"[Infinity, -Infinity]", [math.inf, -math.inf]),
    (b"123456789012345678901234567890", 123456789012345678901234567890),
])
def test_events_as_other_writers_write_them(worker, text, expected):
    it = worker()
    it.slot.expect_next()
    kind, request = it.slot.invoke(text)
    assert (kind, request.json) == ("response", expected)


def test_nan_is_allowed_both_ways(worker):
    it = worker()
    it.slot.expect_next()
    kind, request = it.slot.invoke(b'[NaN]')
    assert (kind, request.body) == ("response", b"[NaN]")


def test_answers_are_written_as_the_json_module_writes_them(worker):
    it = worker("""
        import collections, decimal, enum
        class E(enum.IntEnum):
            A = 3
        class Text(str): pass
        def handler(event, context):
            return {"a": (1, 2), 5: None, None: True, 1.5: E.A, "t": Text("é"), "o": collections.OrderedDict(z=1, a=2),
                    "d": decimal.Decimal("1.25"), True: [0.1, 1e16, 1e22, float("inf")]}
        """)
    it.slot.expect_next()
    expected = {"a": [1, 2], "5": None, "null": True, "1.5": 3, "t": "é", "o": {"z": 1, "a": 2}, "d": 1.25,
                "true": [0.1, 1e16, 1e22, math.inf]}
    assert it.slot.invoke({})[1].body == json.dumps(expected, ensure_ascii=ASCII_ONLY).encode()


@pytest.mark.parametrize("body", [b"", b"{", b"nul", b'{"a":1}x', b'"\xff"', b"[" * 100_000])
def test_an_event_that_is_not_json_is_an_error_of_that_invocation(worker, body):
    it = worker()
    it.slot.expect_next()
    kind, request = it.slot.invoke(body)
    assert kind == "error" and request.json["errorType"] == "Runtime.UnmarshalError", request
    assert it.slot.invoke(1)[1].json == 1


def test_bytes_are_answered_raw_and_received_raw(worker):
    it = worker()
    it.slot.expect_next()
    data = bytes(range(256)) * 100
    kind, request = it.slot.invoke(data, content_type="application/octet-stream")
    assert (kind, request.body, request.headers["content-type"]) == ("response", data, "application/unknown")


@pytest.mark.parametrize("megabytes", [1, 6])
def test_large_events_and_answers(worker, megabytes):
    it = worker()
    it.slot.expect_next()
    text = "x" * (megabytes * 1024 * 1024 - 2)
    sender = threading.Thread(target=lambda: it.slot.send(it.slot.event_bytes(text)))
    sender.start()
    sender.join()
    kind, request = it.slot.outcome()
    assert kind == "response" and request.json == text
    it.slot.expect_next()
    it.slot.send(Slot.ACCEPTED)
    assert it.slot.invoke("small")[1].json == "small"


# MARK: the context

def test_the_context_is_lambda_s(worker, tmp_path):
    it = worker("""
        import os
        def handler(event, context):
            c = context.client_context
            return {"id": context.aws_request_id, "name": context.function_name, "version": context.function_version,
                    "arn": context.invoked_function_arn, "memory": context.memory_limit_in_mb,
                    "group": context.log_group_name, "stream": context.log_stream_name,
                    "left": context.get_remaining_time_in_millis(), "identity": context.identity,
                    "client": c and [c.custom, c.env, c.client and c.client.app_title],
                    "trace": os.environ["_X_AMZN_TRACE_ID"], "fds": os.environ.get("ROOST_RUNTIME_FDS"),
                    "cwd": os.getcwd()}
        """)
    it.slot.expect_next()
    seen = it.slot.invoke({}, request_id="r-1")[1].json
    assert 29_000 < seen.pop("left") <= 30_000
    assert seen.pop("cwd") == str(tmp_path)
    assert seen == {
        "id": "r-1", "name": "f", "version": "7", "memory": "128", "group": "/aws/lambda/f",
        "arn": "arn:aws:lambda:us-east-1:000000000000:function:f:live", "stream": "2026/01/01/[7]0", "identity": None,
        "client": None, "trace": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0", "fds": None}
    context = json.dumps({"custom": {"k": "世"}, "env": {"e": "1"}, "client": {"app_title": "T"}}, ensure_ascii=False)
    seen = it.slot.invoke({}, Lambda_Runtime_Client_Context=context)[1].json
    assert seen["client"] == [{"k": "世"}, {"e": "1"}, "T"]
    assert it.slot.invoke({}, deadline=1)[1].json["left"] == 0


def test_progress_is_reported_while_the_invocation_runs(worker):
    it = worker("""
        def handler(event, context):
            context.progress(0.25, 1, {"loss": 0.5, "n": 3}, "epoch 世")
            context.progress(step=2)
            context.progress()
            try:
                context.progress(float("nan"))
            except ValueError:
                return "done"
        """)
    it.slot.expect_next()
    for _ in range(2):
        it.slot.send(it.slot.event_bytes({}))
        whole = {"fraction": 0.25, "step": 1, "metrics": {"loss": 0.5, "n": 3}, "message": "epoch 世"}
        for expected in (whole, {"step": 2}, {}):
            report = it.slot.request()
            assert (report.method, report.path) == ("POST", f"/roost/v1/runtime/invocation/{it.slot.id}/progress")
            assert report.json == expected and report.headers["content-type"] == "application/json"
        assert it.slot.outcome()[1].json == "done"
        it.slot.expect_next()
        it.slot.send(Slot.ACCEPTED * 3 + Slot.ACCEPTED)


def test_ten_thousand_reports_neither_block_nor_pile_up(worker):
    it = worker("""
        def handler(event, context):
            for step in range(10_000):
                context.progress(step=step)
            return "done"
        """)
    it.slot.expect_next()
    it.slot.send(it.slot.event_bytes({}))
    for step in range(10_000):
        assert it.slot.request().json == {"step": step}
        it.slot.send(Slot.ACCEPTED)
    assert it.slot.outcome()[1].json == "done"


def test_a_report_after_the_end_is_dropped(worker):
    it = worker("""
        import threading, time
        kept = []
        def handler(event, context):
            kept.append(context)
            for one in kept[:-1]:
                one.progress(step=1)
            return len(kept)
        """)
    it.slot.expect_next()
    assert [it.slot.invoke({})[1].json for _ in range(3)] == [1, 2, 3]


# MARK: errors of the function

def error_of(it, event=None):
    kind, request = it.slot.invoke(event)
    assert kind == "error" and request.headers["content-type"] == "application/json"
    body = request.json
    assert list(body) == ["errorMessage", "errorType", "requestId", "stackTrace"] and body["requestId"] == it.slot.id
    return body


def test_an_exception_is_described_and_the_worker_lives_on(worker):
    it = worker("""
        class Fault(Exception): pass
        def inner(n):
            raise Fault(f"no {n} 世")
        def handler(event, context):
            if event == 3: inner(event)
            return "fine"
        """)
    it.slot.expect_next()
    body = error_of(it, 3)
    assert (body["errorType"], body["errorMessage"]) == ("Fault", "no 3 世")
    assert len(body["stackTrace"]) == 2
    frame = r'  File ".*/function.py", line 6, in handler\n    if event == 3: inner\(event\)\n.*'
    assert re.fullmatch(frame, body["stackTrace"][0], re.S)
    assert it.slot.invoke(1)[1].json == "fine"
    code, out, err = it.finish()
    assert code == 0 and "[ERROR] Fault: no 3 世\nTraceback" in err and "line 4, in inner" in err


@pytest.mark.parametrize("expression, kind, message", [
    ("{1, 2}", "Runtime.MarshalError", "Object of type set is not JSON serializable"),
    ("{(1, 2): 3}", "Runtime.MarshalError", "keys must be str"),
    ("[loop]", "Runtime.MarshalError", "Circular reference"),
    ("deep", "Runtime.MarshalError", "recursion"),
    ("object()", "Runtime.MarshalError", "Object of type object"),
    ("recurse()", "RecursionError", "maximum recursion depth"),
    ("1 / 0", "ZeroDivisionError", "division by zero"),
    ("throw(KeyboardInterrupt)", "KeyboardInterrupt", ""),
    ("throw(GeneratorExit)", "GeneratorExit", ""),
    ("throw(HostGone)", "HostGone", ""),
    ("throw(Mute)", "Mute", "<exception str() failed>"),
    ("handler()", "TypeError", "missing 2 required positional arguments"),
])
def test_faults_are_told_in_lambda_s_words(worker, expression, kind, message):
    it = worker(f"""
        loop = []
        loop.append(loop)
        deep = []
        for _ in range(200_000):
            deep = [deep]
        def recurse(): return recurse()
        def throw(kind): raise kind
        class HostGone(Exception): pass
        class Mute(Exception):
            def __str__(self): raise ValueError
        def handler(event, context):
            return {expression} if event else "alive"
        """)
    it.slot.expect_next()
    body = error_of(it, 1)
    assert body["errorType"] == kind and message in body["errorMessage"], body
    assert len(body["stackTrace"]) < 20
    assert it.slot.invoke(0)[1].json == "alive"


@pytest.mark.parametrize("expression, expected", [
    ("sys.exit()", 0), ("sys.exit(0)", 0), ("sys.exit(3)", 3), ("sys.exit('sorry')", 1), ("os._exit(9)", 9),
    ("os.kill(os.getpid(), 9)", -9),
])
def test_leaving_ends_the_process(worker, expression, expected):
    it = worker(f"""
        import atexit, os, sys, threading, time
        atexit.register(print, "goodbye")
        threading.Thread(target=time.sleep, args=(1000,)).start()
        def handler(event, context):
            print("hello")
            {expression}
        """)
    it.slot.expect_next()
    it.slot.send(it.slot.event_bytes({}))
    with pytest.raises(Gone):
        it.slot.request()
    code, out, err = it.finish(hang_up=False)
    assert code == expected and out == ("hello\ngoodbye\n" if "sys" in expression else "hello\n")
    assert ("sorry" in err) == ("sorry" in expression)


def test_a_thread_left_running_does_not_keep_the_worker(worker):
    it = worker("import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\n" + ECHO)
    it.slot.expect_next()
    assert it.finish()[0] == 0


# MARK: init

@pytest.mark.parametrize("source, handler, kind, message, stack", [
    ("import nonesuch", "function.handler", "Runtime.ImportModuleError",
     "Unable to import module 'function': No module named 'nonesuch'", 1),
    ("", "absent.handler", "Runtime.ImportModuleError", "Unable to import module 'absent': No module named 'absent'", 0),
    ("x = 1", "function.handler", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'function'", 0),
    ("def f(:", "function.f", "Runtime.UserCodeSyntaxError", "Syntax error in module 'function': invalid syntax", 1),
    ("", "handler", "Runtime.MalformedHandlerName", "Bad handler 'handler'", 0),
    ("", "", "Runtime.MalformedHandlerName", "Bad handler ''", 0),
    ("", ".x", "Runtime.MalformedHandlerName", "Bad handler '.x'", 0),
    ("", "sys.exit", "Runtime.BuiltInModuleConflict", "Cannot use built-in module sys", 0),
    ("raise RuntimeError('no weights')", "function.handler", "RuntimeError", "no weights", 1),
])
def test_what_goes_wrong_at_init_is_posted_and_ends_the_worker(worker, source, handler, kind, message, stack):
    it = worker(source, handler=handler)
    request = it.slot.request()
    assert (request.method, request.path) == ("POST", "/2018-06-01/runtime/init/error")
    assert request.headers["lambda-runtime-function-error-type"] == kind
    body = request.json
    assert list(body) == ["errorMessage", "errorType", "requestId", "stackTrace"]
    assert body["errorType"] == kind and message in body["errorMessage"] and len(body["stackTrace"]) == stack, body
    it.slot.send(Slot.ACCEPTED)
    code, _, err = it.finish(hang_up=False)
    assert code == 1 and message in err


def test_leaving_at_init_keeps_the_exit_status(worker):
    it = worker("import sys\nprint('loading')\nsys.exit(5)")
    assert it.finish(hang_up=False)[:2] == (5, "loading\n")


def test_handlers_in_packages_and_folders(worker, tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c.py").write_text("from a import other\n" + ECHO)
    (tmp_path / "a" / "other.py").write_text("")
    for handler in ("a/b/c.handler", "a.b.c.handler"):
        it = worker(handler=handler)
        it.slot.expect_next()
        assert it.slot.invoke("x")[1].json == "x"


@pytest.mark.parametrize("environment", [
    {}, {"PYTHONSAFEPATH": "1"}, {"LANG": "C"}, {"LC_ALL": "POSIX"}, {"PYTHONPATH": "/nowhere"}])
def test_a_function_s_modules_come_first_and_ours_are_not_in_the_way(worker, tmp_path, environment):
    (tmp_path / "bootstrap.py").write_text("here = 'mine'")
    it = worker("""
        import sys, bootstrap
        def handler(event, context):
            print("世界")
            return [bootstrap.here, sys.path[0], [p for p in sys.path if "runtime/python" in p]]
        """, environment=environment)
    it.slot.expect_next()
    assert it.slot.invoke({})[1].json == ["mine", str(tmp_path), []]
    assert it.finish() == (0, "世界\n", "")


# MARK: logs and signals

def test_output_is_written_before_the_outcome_is_posted(worker):
    it = worker("""
        import sys
        def handler(event, context):
            print("line"); print("half", end=""); print("err", file=sys.stderr, end="")
        """)
    it.slot.expect_next()
    assert it.slot.invoke({})[1].body == b"null"
    os.set_blocking(it.process.stdout.fileno(), False)
    os.set_blocking(it.process.stderr.fileno(), False)
    assert os.read(it.process.stdout.fileno(), 100) == b"line\nhalf"
    assert os.read(it.process.stderr.fileno(), 100) == b"err"


def test_logging_works_as_on_lambda(worker):
    it = worker("""
        import logging
        logging.getLogger().setLevel(logging.INFO)
        logging.info("loading")
        def handler(event, context):
            logging.getLogger("mine").info("seen %s", event)
            logging.basicConfig(format="other")
            logging.debug("unseen")
        """)
    it.slot.expect_next()
    it.slot.invoke(7, request_id="r-9")
    code, out, err = it.finish()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(rf"\[INFO\]\t{stamp}\t\tloading\n\[INFO\]\t{stamp}\tr-9\tseen 7\n", out), out
    assert (code, err) == (0, "")


def test_sigterm_kills_an_idle_worker_and_runs_a_handler_where_there_is_one(worker):
    it = worker()
    it.slot.expect_next()
    it.process.terminate()
    assert it.finish(hang_up=False)[0] == -signal.SIGTERM
    it = worker("""
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        def handler(event, context):
            print("training")
            time.sleep(1000)
        """)
    it.slot.expect_next()
    it.slot.send(it.slot.event_bytes({}))
    assert it.process.stdout.readline() == b"training\n"
    it.process.terminate()
    with pytest.raises(Gone):
        it.slot.request()
    assert it.finish(hang_up=False)[0] == 0


def test_children_of_the_function_do_not_hold_the_connection(worker):
    it = worker("""
        import subprocess
        def handler(event, context):
            nowhere = subprocess.DEVNULL
            return subprocess.Popen(["sleep", "30"], close_fds=False, stdout=nowhere, stderr=nowhere).pid
        """)
    it.slot.expect_next()
    child = it.slot.invoke({})[1].json
    try:
        it.process.kill()
        with pytest.raises(Gone):
            it.slot.request()
    finally:
        os.kill(child, 9)


# MARK: more than one slot

def test_two_slots_run_at_the_same_time(worker):
    it = worker("""
        import threading
        barrier = threading.Barrier(2, timeout=10)
        def handler(event, context):
            barrier.wait()
            context.progress(step=event)
            return [event, context.aws_request_id]
        """, slots=2)
    for slot in it.slots:
        slot.expect_next()
    for round in range(5):
        for index, slot in enumerate(it.slots):
            slot.send((Slot.ACCEPTED * 2 if round else b"") + slot.event_bytes(index, request_id=f"r-{index}-{round}"))
        for index, slot in enumerate(it.slots):
            assert slot.request().json == {"step": index}
            assert slot.outcome()[1].json == [index, f"r-{index}-{round}"]
            slot.expect_next()
    assert it.finish()[0] == 0


def test_one_slot_hung_up_leaves_the_other_at_work(worker):
    it = worker(slots=2)
    for slot in it.slots:
        slot.expect_next()
    it.slots[0].connection.close()
    assert it.slots[1].invoke("still")[1].json == "still"
    assert it.finish()[0] == 0


def test_leaving_in_one_slot_ends_the_process(worker):
    it = worker("import sys\ndef handler(event, context):\n    sys.exit(4)", slots=2)
    for slot in it.slots:
        slot.expect_next()
    it.slots[1].send(it.slots[1].event_bytes({}))
    assert it.finish(hang_up=False)[0] == 4


# MARK: streams

STREAMS = """
    import os, sys, time

    def parts(context): yield from ("one", "two")
    def empty(context): yield from ()
    def skipped(context): yield from ("", b"", bytearray(), memoryview(b""))
    def early(context): raise ValueError("too early")
    def early_in_generator(context):
        raise ValueError("too early")
        yield
    def late(context):
        yield "one"
        raise ValueError("too late 世")
    def unwritable(context):
        try:
            yield "one"
            yield {1, 2}
        finally:
            print("closed")
    def unwritable_first(context):
        yield {1, 2}
    def wordy(context):
        yield "one"
        raise ValueError("世" * 12_000)
    def endless(context):
        count = 0
        try:
            while count < 200:  # a test that fails should end
                count += 1
                yield bytes(1 << 20)
        finally:
            print("closed", count)
    def stubborn(context):
        for _ in range(200):
            try:
                yield bytes(1 << 20)
            except GeneratorExit:
                pass
    def fails_to_close(context):
        try:
            for _ in range(200):
                yield bytes(1 << 20)
        finally:
            1 / 0
    def leaves(context):
        yield "one"
        sys.exit(3)

    kept = []  # what is still referred to is closed only by who closes it
    def handler(event, context):
        if not isinstance(event, str):
            return event
        kept.append(globals()[event](context))
        return kept[-1]
    """


@pytest.fixture
def gate(tmp_path):
    """A pipe `gate` in the function's folder, from which it reads a byte when it may go on: called, it writes them."""
    os.mkfifo(tmp_path / "gate")
    with open(tmp_path / "gate", "r+b", buffering=0) as pipe:
        yield pipe.write


def assert_alive(it):
    """The worker answers as if nothing had been, in one piece and in a stream."""
    assert it.slot.invoke({"n": 1})[1].json == {"n": 1}
    chunks, stream = it.slot.invoke_stream("parts")
    assert chunks == [b"one", b"two"] and stream.error is None


def test_chunks_arrive_while_the_function_still_runs(worker, gate):
    it = worker("""
        gate = open("gate", "rb", buffering=0)
        def handler(event, context):
            yield "one"
            yield gate.read(1)
            yield gate.read(1)
        """)
    it.slot.expect_next()
    for acknowledge in (b"", Slot.ACCEPTED):
        it.slot.send(acknowledge + it.slot.event_bytes({}))
        stream = it.slot.stream()
        assert stream.headers["content-type"] == "application/octet-stream"
        assert stream.chunk() == b"one" and it.slot.buffer == b""
        for byte in (b"2", b"3"):
            gate(byte)
            assert stream.chunk() == byte
        assert stream.chunk() is None and stream.trailers == {}
        it.slot.expect_next()
        assert it.slot.buffer == b""


def test_each_item_is_one_read_and_the_end_comes_with_next(worker, gate):
    it = worker("""
        gate = open("gate", "rb", buffering=0)
        def handler(event, context):
            while gate.read(1) == b"+":
                yield "item"
        """)
    it.slot.expect_next()
    it.slot.send(it.slot.event_bytes({}))
    before = it.slot.reads
    stream = None
    for _ in range(5):
        gate(b"+")
        stream = stream or it.slot.stream()
        assert stream.chunk() == b"item" and it.slot.buffer == b""
    assert it.slot.reads == before + 5
    gate(b"-")
    assert stream.chunk() is None
    it.slot.expect_next()
    assert it.slot.reads == before + 6


def test_items_are_bytes_text_or_lines_of_json(worker):
    it = worker("""
        import array
        def handler(event, context):
            yield b"\\x00\\xff"
            yield bytearray(b"ab")
            yield memoryview(b"abcd")[::2]
            yield memoryview(array.array("H", [1, 2]))
            yield "世"
            yield ""
            yield {"a": [1, None]}
            yield 0
            yield None
        """)
    it.slot.expect_next()
    chunks, _ = it.slot.invoke_stream({})
    assert chunks == [b"\x00\xff", b"ab", b"ac", b"\x01\x00\x02\x00", "世".encode(), b'{"a": [1, null]}\n', b"0\n",
                      b"null\n"]


@pytest.mark.parametrize("result", [
    "iter(['a', 'b'])", "map(str.lower, 'AB')", "(c for c in 'ab')", "open(os.path.join('.', 'text'), newline='')",
    "type('Bare', (), {'__next__': lambda self, left=['b', 'a']: left.pop() if left else stop()})()"])
def test_what_is_an_iterator_streams(worker, tmp_path, result):
    (tmp_path / "text").write_text("ab")
    it = worker(f"""
        import os
        def stop(): raise StopIteration
        def handler(event, context):
            return {result}
        """)
    it.slot.expect_next()
    assert b"".join(it.slot.invoke_stream({})[0]) == b"ab"


@pytest.mark.parametrize("name", ["empty", "skipped"])
def test_a_stream_without_items_is_an_empty_answer(worker, name):
    it = worker(STREAMS)
    it.slot.expect_next()
    for _ in range(2):
        chunks, stream = it.slot.invoke_stream(name)
        assert chunks == [] and stream.error is None
    assert_alive(it)


def test_the_content_type_is_set_before_the_first_item_and_not_later(worker):
    it = worker("""
        def handler(event, context):
            context.content_type = event
            yield context.content_type
            context.content_type = "too/late"
        """)
    it.slot.expect_next()
    chunks, stream = it.slot.invoke_stream("text/event-stream")
    assert stream.headers["content-type"] == "text/event-stream" and chunks == [b"text/event-stream"]
    assert stream.error["errorMessage"] == "content_type must be set before the first item is sent"
    for bad in ("", "a/b\r\nX: y", "世/界", 7):
        kind, request = it.slot.invoke(bad)
        assert kind == "error" and request.json["errorType"] == "ValueError", request
        assert request.json["errorMessage"] == f"not a media type: {bad!r}"


@pytest.mark.parametrize("name, kind, message", [
    ("early", "ValueError", "too early"), ("early_in_generator", "ValueError", "too early"),
    ("unwritable_first", "Runtime.MarshalError", "Unable to marshal response: Object of type set")])
def test_a_failure_before_the_first_item_is_an_ordinary_error(worker, name, kind, message):
    it = worker(STREAMS)
    it.slot.expect_next()
    body = error_of(it, name)
    assert body["errorType"] == kind and body["errorMessage"].startswith(message)
    assert_alive(it)


def test_a_failure_on_the_way_is_told_in_the_trailers(worker):
    it = worker(STREAMS)
    it.slot.expect_next()
    chunks, stream = it.slot.invoke_stream("late")
    assert chunks == [b"one"]
    body = stream.error
    assert list(body) == ["errorMessage", "errorType", "requestId", "stackTrace"]
    assert (body["errorMessage"], body["errorType"], body["requestId"]) == ("too late 世", "ValueError", it.slot.id)
    assert len(body["stackTrace"]) == 1 and 'raise ValueError("too late 世")' in body["stackTrace"][0]
    assert_alive(it)
    chunks, stream = it.slot.invoke_stream("unwritable")
    assert chunks == [b"one"] and stream.error["errorType"] == "Runtime.MarshalError"
    assert_alive(it)
    code, out, err = it.finish()
    assert (code, out) == (0, "closed\n")
    assert "[ERROR] ValueError: too late 世\nTraceback" in err and "[ERROR] Runtime.MarshalError" in err


def test_a_long_error_is_cut_to_what_trailers_may_hold(worker):
    it = worker(STREAMS)
    it.slot.expect_next()
    _, stream = it.slot.invoke_stream("wordy")
    assert sum(map(len, stream.trailers.values())) < 60_000
    assert stream.error["errorMessage"] == "世" * 2000 and stream.error["stackTrace"] == []
    assert_alive(it)


@pytest.mark.parametrize("status, kind", [(410, "InvokeTimeout"), (413, "RequestEntityTooLarge")])
def test_an_early_refusal_stops_the_function_before_its_next_item_is_sent(worker, gate, status, kind):
    it = worker(STREAMS + """
    gate = open("gate", "rb", buffering=0)
    def gated(context):
        try:
            yield "one"
            while gate.read(1):
                yield "more"
        finally:
            print("closed")
    """)
    it.slot.expect_next()
    it.slot.send(it.slot.event_bytes("gated"))
    stream = it.slot.stream()
    assert stream.chunk() == b"one"
    gate(b"+")
    assert stream.chunk() == b"more"
    stream.refuse(status, kind)
    gate(b"+")
    assert stream.chunk() is None and stream.trailers == {}
    it.slot.expect_next()
    assert_alive(it)
    assert it.finish() == (0, "closed\n", "")


def test_a_host_that_stops_reading_stops_the_function_and_may_still_refuse(worker):
    it = worker(STREAMS)
    it.slot.expect_next()
    it.slot.send(it.slot.event_bytes("endless"))
    stream = it.slot.stream()  # and no more than one read of its 1 MiB chunks: the worker's write is blocked
    stream.refuse()
    rest = stream.rest()
    it.slot.expect_next()
    assert 1 <= len(rest) <= 3 and set(rest) == {bytes(1 << 20)}
    assert_alive(it)
    code, out, err = it.finish()
    assert (code, err) == (0, "")
    assert out == f"closed {len(rest) + 1}\n", "one item was made and not sent"


def test_a_refusal_after_the_end_is_like_any_refused_outcome(worker):
    it = worker(STREAMS)
    it.slot.expect_next()
    it.slot.send(it.slot.event_bytes("parts"))
    stream = it.slot.stream()
    assert stream.rest() == [b"one", b"two"]
    it.slot.expect_next()
    stream.refuse()
    assert_alive(it)


@pytest.mark.parametrize("name, logged", [
    ("stubborn", "RuntimeError: generator ignored GeneratorExit"), ("fails_to_close", "ZeroDivisionError")])
def test_a_generator_that_cannot_be_closed_is_told_in_the_log(worker, name, logged):
    it = worker(STREAMS)
    it.slot.expect_next()
    it.slot.send(it.slot.event_bytes(name))
    stream = it.slot.stream()
    stream.refuse()
    stream.rest()
    assert stream.error is None, "nobody reads it"
    it.slot.expect_next()
    assert_alive(it)
    code, _, err = it.finish()
    assert code == 0 and logged in err


def test_the_host_hanging_up_closes_the_generator_and_ends_the_worker(worker):
    it = worker(STREAMS)
    it.slot.expect_next()
    it.slot.send(it.slot.event_bytes("endless"))
    it.slot.stream()
    code, out, err = it.finish()
    assert (code, err) == (0, "") and out.startswith("closed ")


def test_leaving_within_a_stream_ends_the_process(worker):
    it = worker(STREAMS)
    it.slot.expect_next()
    it.slot.send(it.slot.event_bytes("leaves"))
    stream = it.slot.stream()
    assert stream.chunk() == b"one"
    with pytest.raises(Gone):
        stream.chunk()
    assert it.finish(hang_up=False)[0] == 3


def test_progress_reports_come_before_the_stream_and_their_answers_do_not_refuse_it(worker, gate):
    it = worker("""
        gate = open("gate", "rb", buffering=0)
        def handler(event, context):
            context.progress(step=1)
            context.progress(step=2)
            yield "one"
            context.progress(step=3)
            while gate.read(1) == b"+":
                yield "more"
        """)
    it.slot.expect_next()
    for is_refused in (False, True):
        it.slot.send(it.slot.event_bytes({}))
        assert [it.slot.request().json for _ in range(2)] == [{"step": 1}, {"step": 2}]
        stream = it.slot.stream()
        assert stream.chunk() == b"one"
        it.slot.send(Slot.ACCEPTED)
        gate(b"+")
        assert stream.chunk() == b"more"
        it.slot.send(Slot.ACCEPTED)
        if is_refused:
            stream.refuse()
        gate(b"+-")
        assert stream.rest() == ([] if is_refused else [b"more"])
        it.slot.expect_next()
        if not is_refused:
            it.slot.send(Slot.ACCEPTED)


def test_output_is_written_before_the_last_chunk(worker):
    it = worker("""
        def handler(event, context):
            yield "one"
            print("half", end="")
        """)
    it.slot.expect_next()
    it.slot.invoke_stream({})
    os.set_blocking(it.process.stdout.fileno(), False)
    assert os.read(it.process.stdout.fileno(), 100) == b"half"


def test_slots_stream_at_the_same_time(worker):
    it = worker("""
        import threading
        barrier = threading.Barrier(3, timeout=10)
        def handler(event, context):
            context.content_type = f"test/{event}"
            for n in range(200):
                barrier.wait()
                yield f"{event}.{n}"
        """, slots=3)
    for slot in it.slots:
        slot.expect_next()
    for round in range(2):
        for index, slot in enumerate(it.slots):
            slot.send((Slot.ACCEPTED if round else b"") + slot.event_bytes(index))
        streams = [slot.stream() for slot in it.slots]
        for n in range(200):
            assert [stream.chunk() for stream in streams] == [f"{index}.{n}".encode() for index in range(3)]
        for index, stream in enumerate(streams):
            assert stream.chunk() is None and stream.headers["content-type"] == f"test/{index}"
            it.slots[index].expect_next()
    assert it.finish()[0] == 0


@pytest.mark.parametrize("size", [1 << 16, 10 << 20])
def test_a_stream_of_50_mb_costs_the_worker_one_chunk(worker, size):
    it = worker("""
        def handler(event, context):
            for n in range((50 << 20) // event if event else 0):
                yield bytes([n % 256]) * event
        """)

    def peak_kilobytes():
        status = open(f"/proc/{it.process.pid}/status").read()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])

    it.slot.expect_next()
    it.slot.invoke_stream(0)
    before = peak_kilobytes()
    it.slot.send(it.slot.event_bytes(size))
    stream = it.slot.stream()
    for n in range((50 << 20) // size):
        assert stream.chunk() == bytes([n % 256]) * size
    assert stream.chunk() is None
    it.slot.expect_next()
    it.slot.send(Slot.ACCEPTED)
    assert peak_kilobytes() - before < size // 1024 + 4096
    assert it.slot.invoke_stream(0)[0] == []


def test_an_asynchronous_generator_is_refused(worker):
    it = worker("""
        async def produce():
            yield 1
        def handler(event, context):
            return produce() if event else "alive"
        """)
    it.slot.expect_next()
    body = error_of(it, 1)
    assert body["errorType"] == "Runtime.MarshalError"
    assert "asynchronous generator cannot be streamed" in body["errorMessage"]
    assert it.slot.invoke(0)[1].json == "alive"


# MARK: other ways in

def test_over_tcp_where_no_descriptors_are_inherited(tmp_path):
    (tmp_path / "function.py").write_text(ECHO)
    with socket.create_server(("127.0.0.1", 0)) as server:
        with Worker(tmp_path, slots=1, environment={
                "ROOST_RUNTIME_FDS": "", "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.getsockname()[1]}"}) as it:
            server.settimeout(20)
            slot = Slot(server.accept()[0])
            slot.expect_next()
            assert slot.invoke({"over": "tcp"})[1].json == {"over": "tcp"}
            slot.connection.close()
            assert it.finish()[0] == 0


def test_without_the_interpreter_s_inner_json_the_module_is_used(worker):
    it = worker("def handler(event, context):\n    return {'seen': event}", flags=("-s", "-c", textwrap.dedent("""
        import sys
        sys.path[0] = __import__("os").path.dirname(sys.argv[1])
        sys.modules["_json"] = None
        import roost_runtime
        roost_runtime.main()
        """)))
    it.slot.expect_next()
    event = {"é": [1, None]}
    assert it.slot.invoke(event)[1].body == json.dumps({"seen": event}, ensure_ascii=ASCII_ONLY).encode()
    assert it.slot.invoke("\ud800")[1].json == {"seen": "\ud800"}


def test_nothing_is_imported_that_the_interpreter_has_not_loaded_anyway(worker):
    it = worker("import sys\nloaded = sorted(sys.modules)\ndef handler(event, context):\n    return loaded")
    it.slot.expect_next()
    bare = subprocess.run([PYTHON, "-sc", "import sys; print(*sorted(sys.modules))"], capture_output=True, text=True, env={})
    extra = set(it.slot.invoke({})[1].json) - set(bare.stdout.split())
    assert extra <= {"roost_runtime", "function", "_json"}, extra


def test_the_example_function(tmp_path):
    folder = ROOT / "functions" / "echo"
    manifest = json.loads((folder / "function.json").read_text())
    with Worker(folder, handler=manifest["handler"], environment={"PYTHONDONTWRITEBYTECODE": "1"}) as it:
        it.slot.expect_next()
        kind, request = it.slot.invoke((folder / "event.json").read_bytes())
        assert (kind, request.json) == ("response", json.loads((folder / "expected.json").read_text()))
