"""Answers in pieces of the python3 runtime: real processes, real sockets, one test per promise."""

import os
import re

import pytest

from runtime_host import Gone, Slot, error_of, worker

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
