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

from runtime_host import ECHO, PYTHON, ROOT, Gone, Slot, Worker, error_of, worker

VERSION = tuple(map(int, subprocess.check_output(
    [PYTHON, "-c", "import sys; print(*sys.version_info[:2])"], text=True).split()))
ASCII_ONLY = VERSION < (3, 12)  # as on Lambda


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
