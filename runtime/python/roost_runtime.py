"""Runs a Python function: loads `_HANDLER`, then answers invocations until the host hangs up.

runtime/PROTOCOL.md is the specification. What shapes this file:

- Cold start counts. Only modules that are part of the interpreter are imported before the handler's own: `json` alone
  costs half as much as the whole interpreter does to start, because it imports `re`. Its C parts are used directly.
- A warm invocation is one write and one read: an answer and the request for the next event leave together.
- One slot (connection) is served on the main thread, so that the function may install signal handlers. With more,
  each has a thread.
- The process leaves through `os._exit` after flushing: what a function left running must not keep a worker alive
  that its host has let go.
"""

import os
import sys
from time import time

import _signal
import _thread

BASE = b"/2018-06-01/runtime/"
NEXT = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: runtime\r\n\r\n"
READ_BYTES = 65536
JOIN_BYTES = 65536  # up to here head and body are copied together; beyond, the kernel gathers them
ACKNOWLEDGEMENTS_MAX = 64  # progress reports whose answer has not been read
TRAILER_ERROR_BYTES = 32768  # of the error document of a stream that failed on its way

_current = _thread._local()  # .request_id, for log lines
_END = object()  # of an iterator


# MARK: JSON

def _default(value):
    decimal = sys.modules.get("decimal")
    if decimal and isinstance(value, decimal.Decimal):
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


try:
    import _json

    class _Scanning:
        strict = True
        object_hook = object_pairs_hook = None
        parse_float = float
        parse_int = int
        parse_constant = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}.__getitem__
        memo = {}

    _scan = _json.make_scanner(_Scanning)

    def loads(text):
        """json.loads for text that is known to be one JSON value."""
        start = 0
        while text[start:start + 1] in (" ", "\t", "\n", "\r") and start < len(text):
            start += 1
        try:
            value, end = _scan(text, start)
        except StopIteration as stop:
            raise ValueError(f"Expecting value: char {stop.value}") from None
        if end != len(text) and text[end:].strip(" \t\n\r"):
            raise ValueError(f"Extra data: char {end}")
        return value

    def _encoder(ascii_only):
        quote = _json.encode_basestring_ascii if ascii_only else _json.encode_basestring

        def dumps(value):
            return "".join(_json.make_encoder({}, _default, quote, None, ": ", ", ", False, False, True)(value, 0))

        return dumps

    assert loads(' {"a": [1, -2.5e3, "\\u00e9", null, NaN]}\n')["a"][:4] == [1, -2500.0, "é", None]
    assert _encoder(True)([{"a": 1.5}]) == '[{"a": 1.5}]'
except Exception:  # another interpreter, or a later one with other inner parts

    def loads(text):
        import json
        return json.loads(text)

    def _encoder(ascii_only):
        import json
        return json.JSONEncoder(default=_default, ensure_ascii=ascii_only).encode


# As on Lambda, text beyond ASCII is escaped up to 3.11. Escapes are always right: a lone surrogate has no UTF-8.
_escaped = _encoder(True)
_raw = _encoder(False)


def dumps(value):
    if sys.version_info >= (3, 12):
        try:
            return _raw(value).encode()
        except UnicodeEncodeError:
            pass
    return _escaped(value).encode()


# MARK: the connection

class HostGone(Exception):
    """The host has closed the connection."""


class Connection:
    """One HTTP/1.1 connection to the host. Answers come in the order of the requests, so a count says whose is next."""

    def __init__(self, descriptor):
        self.descriptor = descriptor
        self.buffer = b""
        self.unread = 0  # answers to come that nobody needs
        self.invocation = None  # the one that runs and may still send reports, by its request id
        self.poll = None
        self.lock = _thread.allocate_lock()  # a function may report progress from threads of its own
        os.set_inheritable(descriptor, False)
        os.set_blocking(descriptor, True)

    def send(self, head, body=b"", tail=b""):
        try:
            if len(body) <= JOIN_BYTES:
                rest = [head + body + tail]
            else:
                rest = [head, body, tail]
            while rest:
                sent = os.write(self.descriptor, rest[0]) if len(rest) == 1 else os.writev(self.descriptor, rest)
                while rest and sent >= len(rest[0]):
                    sent -= len(rest.pop(0))
                if sent:
                    rest[0] = memoryview(rest[0])[sent:]
        except (BrokenPipeError, ConnectionResetError):
            raise HostGone from None

    def read_more(self):
        try:
            data = os.read(self.descriptor, READ_BYTES)
        except ConnectionResetError:
            data = b""
        if not data:
            raise HostGone
        self.buffer = self.buffer + data if self.buffer else data

    def read_answer(self):
        """The next answer: status, header lines as (lower-case name -> value), body."""
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            self.read_more()
        lines = self.buffer[:end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        start = end + 4
        have = len(self.buffer) - start
        if have >= length:
            body = self.buffer[start:start + length]
            self.buffer = self.buffer[start + length:]
        else:
            body = bytearray(length)
            body[:have] = self.buffer[start:]
            self.buffer = b""
            view = memoryview(body)
            try:
                while have < length:
                    if not (count := os.readv(self.descriptor, [view[have:]])):
                        raise HostGone
                    have += count
            except ConnectionResetError:
                raise HostGone from None
        return int(lines[0].split(" ", 2)[1]), headers, body

    def next_event(self):
        while self.unread:
            self.read_answer()
            self.unread -= 1
        answer = self.read_answer()
        self.invocation = answer[1].get("lambda-runtime-aws-request-id")
        return answer

    def post(self, path, body, headers, tail=b""):
        self.unread += 1
        self.send(b"POST %b HTTP/1.1\r\nHost: runtime\r\n%bContent-Length: %d\r\n\r\n" % (path, headers, len(body)),
                  body, tail)

    def post_outcome(self, path, body, headers):
        """Ends the invocation and asks for the next, in one write."""
        with self.lock:
            self.invocation = None
            self.post(path, body, headers, NEXT)

    def has_input(self):
        """Whether something of an answer, or the end of the connection, is there already."""
        if self.buffer:
            return True
        if self.poll is None:
            import select
            self.poll = select.poll()
            self.poll.register(self.descriptor, select.POLLIN)
        return bool(self.poll.poll(0))

    def is_refused(self):
        """Whether the host has answered the stream that is being sent, which says that it wants no more of it. Its
        answer is the last that is unread: those to progress reports come before."""
        while self.unread and self.has_input():
            self.read_answer()
            self.unread -= 1
        return not self.unread

    def post_progress(self, invocation, body):
        """Takes what answers have come, and waits for them only when too many are outstanding. A report of an
        invocation that has ended is dropped: behind a `next`, its answer could not be told from the event. So is one
        behind the head of a stream."""
        with self.lock:
            if self.invocation != invocation:
                return
            while self.unread and (self.unread >= ACKNOWLEDGEMENTS_MAX or self.has_input()):
                self.read_answer()
                self.unread -= 1
            self.post(b"/roost/v1/runtime/invocation/%b/progress" % invocation.encode("latin-1"), body,
                      b"Content-Type: application/json\r\n")


# MARK: what the handler is given

class ClientContext:
    def __init__(self, values):
        values = values if isinstance(values, dict) else {}
        self.custom = values.get("custom")
        self.env = values.get("env")
        client = values.get("client")
        self.client = Client(client) if isinstance(client, dict) else None


class Client:
    def __init__(self, values):
        for name in ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name"):
            setattr(self, name, values.get(name))


class Context:
    """The second argument of a handler: Lambda's names, `progress`, and `content_type`."""

    identity = None
    function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
    function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
    memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
    log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
    log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")

    def __init__(self, connection, headers):
        self._connection = connection
        self._content_type = "application/octet-stream"
        self._deadline = int(headers.get("lambda-runtime-deadline-ms", 0))
        self.aws_request_id = headers["lambda-runtime-aws-request-id"]
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn")
        self.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
        client = headers.get("lambda-runtime-client-context")
        self.client_context = ClientContext(loads(client.encode("latin-1").decode())) if client else None

    def get_remaining_time_in_millis(self):
        return max(self._deadline - int(time() * 1000), 0)

    @property
    def content_type(self):
        """The media type of a streamed answer. To be set before the first item; other answers have types of their own."""
        return self._content_type

    @content_type.setter
    def content_type(self, value):
        if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
            raise ValueError(f"not a media type: {value!r}")
        if self._connection.invocation != self.aws_request_id:
            raise RuntimeError("content_type must be set before the first item is sent")
        self._content_type = value

    def progress(self, fraction=None, step=None, metrics=None, message=None):
        """Reports how far a long invocation is: `fraction` of the whole, `step`, named `metrics`, a `message`.

        Does not wait for the host. Does nothing once the handler has returned, or yielded its first item. Numbers must
        be finite.
        """
        report = {}
        if fraction is not None:
            report["fraction"] = _finite(fraction)
        if step is not None:
            report["step"] = int(step)
        if metrics is not None:
            report["metrics"] = {str(name): _finite(value) for name, value in metrics.items()}
        if message is not None:
            report["message"] = str(message)
        try:
            self._connection.post_progress(self.aws_request_id, dumps(report))
        except HostGone:
            pass  # the end of the invocation will notice

    def __repr__(self):
        return f"Context(aws_request_id={self.aws_request_id!r}, invoked_function_arn={self.invoked_function_arn!r})"


def _finite(value):
    value = value if type(value) is int else float(value)
    if value - value != 0:
        raise ValueError(f"not a finite number: {value}")
    return value


# MARK: errors

def error_body(message, kind, stack, request_id):
    return dumps({"errorMessage": message, "errorType": kind, "requestId": request_id, "stackTrace": stack})


def describe(exception, request_id):
    """The error body of an exception, and the same for the log. The frames of this file are left out."""
    import traceback
    try:
        message = str(exception)
    except Exception:
        message = "<exception str() failed>"
    frames = exception.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    try:
        stack = traceback.format_list(traceback.extract_tb(frames))
    except Exception:
        stack = []
    kind = type(exception).__name__
    log("".join([f"[ERROR] {kind}: {message}\n", "Traceback (most recent call last):\n" if stack else "", *stack]))
    return error_body(message, kind, stack, request_id)


def marshal_error(error, request_id):
    log(f"[ERROR] Runtime.MarshalError: {_text(error)}")
    return error_body(f"Unable to marshal response: {_text(error)}", "Runtime.MarshalError", [], request_id)


def log(text):
    try:
        print(text.rstrip("\n"), file=sys.stderr)
    except Exception:
        pass


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass


def leave(status):
    flush()
    os._exit(status)


def leave_as_asked(request):
    """What SystemExit means, wherever it was raised."""
    try:
        import atexit
        atexit._run_exitfuncs()
    except BaseException:
        pass
    code = request.code
    if code is not None and not isinstance(code, int):
        log(str(code))
        code = 1
    leave((code or 0) & 0xFF)


class Failure(Exception):
    """An error that the runtime itself names: of the init, or of a script that is run."""

    def __init__(self, kind, message, stack=()):
        super().__init__(message)
        self.kind, self.message, self.stack = kind, message, list(stack)


# MARK: the handler

def load(name):
    """The function that `_HANDLER` names: `module.function`, where the module may stand in folders (`a/b.f`, `a.b.f`)."""
    module_name, dot, function_name = (name or "").rpartition(".")
    if not dot or not module_name or not function_name:
        raise Failure("Runtime.MalformedHandlerName",
                      f"Bad handler '{name}': expected the form module.function")
    module_name = module_name.replace("/", ".").strip(".")
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise Failure("Runtime.BuiltInModuleConflict",
                      f"Cannot use built-in module {module_name} as a handler module")
    try:
        module = __import__(module_name, fromlist=["*"])
    except ImportError as error:
        raise Failure("Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}",
                      _stack(error)) from error
    except SyntaxError as error:
        line = f'  File "{error.filename}" Line {error.lineno}\n    {(error.text or "").strip()}\n'
        raise Failure("Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_name}': {error}",
                      [line]) from error
    except Exception as error:
        raise Failure(type(error).__name__, _text(error), _stack(error)) from error
    handler = getattr(module, function_name, None)
    if handler is None:
        raise Failure("Runtime.HandlerNotFound", f"Handler '{function_name}' missing on module '{module_name}'")
    return handler


def _text(error):
    try:
        return str(error)
    except Exception:
        return "<exception str() failed>"


def _stack(error):
    """The frames in the function's own files: neither ours nor the import system's."""
    import traceback
    return traceback.format_list(
        [frame for frame in traceback.extract_tb(error.__traceback__)
         if frame.filename != __file__ and not frame.filename.startswith("<frozen importlib")])


class LoggingHook:
    """Gives the root logger a handler as soon as `logging` is imported, as on Lambda: a function that only says
    `getLogger().setLevel(INFO)` finds its lines in the log. Nothing is imported for functions that do not log."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(LoggingHook)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                break
        else:
            return None
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            configure_logging(module)

        spec.loader.exec_module = exec_module
        return spec


def configure_logging(logging):
    class Handler(logging.StreamHandler):
        def __init__(self):
            super().__init__(sys.stdout)

        def emit(self, record):
            record.aws_request_id = getattr(_current, "request_id", "")
            super().emit(record)

    handler = Handler()
    formatter = logging.Formatter("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s",
                                  "%Y-%m-%dT%H:%M:%S")
    import time
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.getLogger().addHandler(handler)


# MARK: serving

def invoke(handler, connection, headers, event, alone):
    """Runs the handler once. Returns what to post: the last part of the path, the body, the content type. Of an answer
    that was streamed only its end is left: `None`, those bytes, `None`."""
    request_id = headers["lambda-runtime-aws-request-id"]
    _current.request_id = request_id
    try:
        if alone:
            os.environ["_X_AMZN_TRACE_ID"] = headers.get("lambda-runtime-trace-id", "")
        try:
            context = Context(connection, headers)
            # Any other type is for handlers that take bytes: tensors, pictures.
            value = loads(event.decode()) if headers.get("content-type") == "application/json" else bytes(event)
        except Exception as error:
            log(f"[ERROR] Runtime.UnmarshalError: {error}")
            return b"/error", error_body(f"Unable to unmarshal input: {error}", "Runtime.UnmarshalError", [],
                                         request_id), b"application/json"
        result = handler(value, context)
        value = event = None
        if isinstance(result, (bytes, bytearray, memoryview)):
            return b"/response", bytes(result), b"application/unknown"
        if hasattr(type(result), "__next__"):
            return stream(result, context, connection, headers)
        try:
            if hasattr(type(result), "__anext__"):
                raise TypeError("an asynchronous generator cannot be streamed; make the handler a plain generator")
            return b"/response", dumps(result), b"application/json"
        except Exception as error:
            return b"/error", marshal_error(error, request_id), b"application/json"
    except (SystemExit, HostGone):
        raise
    except Failure as error:
        log(f"[ERROR] {error.kind}: {error.message}")
        return b"/error", error_body(error.message, error.kind, error.stack, request_id), b"application/json"
    except BaseException as error:  # KeyboardInterrupt and CancelledError too: they are about one invocation
        return b"/error", describe(error, request_id), b"application/json"
    finally:
        _current.request_id = ""


def outcome_head(headers, outcome, kind):
    """The path of an outcome, and the header lines that every outcome has."""
    nonce = headers.get("lambda-runtime-invocation-id")
    return (b"%binvocation/%b%b" % (BASE, headers["lambda-runtime-aws-request-id"].encode("latin-1"), outcome),
            b"Content-Type: %b\r\n%b" % (
                kind, b"Lambda-Runtime-Invocation-Id: %b\r\n" % nonce.encode("latin-1") if nonce else b""))


def stream(items, context, connection, headers):
    """Sends what the function yields, a chunk for each item, until it ends, fails, or the host wants no more. Returns
    what `invoke` does. The head goes with the first chunk, so that a failure before it is an ordinary one."""
    is_begun = is_refused = False
    failure = None

    def begin():
        nonlocal is_begun
        if is_begun:
            return b""
        is_begun = True
        with connection.lock:  # no progress report may follow
            connection.invocation = None
            connection.unread += 1
        return (b"POST %b HTTP/1.1\r\nHost: runtime\r\n%bLambda-Runtime-Function-Response-Mode: streaming\r\n"
                b"Transfer-Encoding: chunked\r\n"
                b"Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n"
                % outcome_head(headers, b"/response", context.content_type.encode()))

    try:
        try:
            while (item := next(items, _END)) is not _END:
                try:
                    chunk = encode_item(item)
                except Exception as error:
                    failure = marshal_error(error, context.aws_request_id)
                    break
                if chunk:
                    if is_begun and (is_refused := connection.is_refused()):
                        break
                    connection.send(b"%b%x\r\n" % (begin(), len(chunk)), chunk, b"\r\n")
                item = chunk = None  # while the function makes the next, only that one is held
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()
    except (SystemExit, HostGone):
        raise
    except BaseException as error:
        failure = describe(error, context.aws_request_id)
    if failure and not is_begun:
        return b"/error", failure, b"application/json"
    return None, begin() + b"0\r\n%b\r\n" % (error_trailers(failure) if failure and not is_refused else b""), None


def encode_item(item):
    """What one item of a stream is sent as: bytes, UTF-8, or else a line of JSON."""
    if isinstance(item, (bytes, bytearray)):
        return item
    if isinstance(item, memoryview):
        return bytes(item)  # its length may count other things than bytes
    if isinstance(item, str):
        return item.encode()
    return dumps(item) + b"\n"


def error_trailers(body):
    """An error document as the trailers of a stream. A long one loses its stack trace, which is in the log, and the
    end of its message."""
    import binascii
    error = loads(body.decode())
    kind = error["errorType"][:200]
    if len(body) > TRAILER_ERROR_BYTES:
        body = error_body(error["errorMessage"][:2000], kind, [], error["requestId"])
    return (b"Lambda-Runtime-Function-Error-Type: %b\r\nLambda-Runtime-Function-Error-Body: %b\r\n"
            % (kind.encode("ascii", "replace"), binascii.b2a_base64(body, newline=False)))


def serve(handler, connection, alone):
    """Answers invocations until the host hangs up."""
    try:
        connection.send(NEXT)
        while True:
            status, headers, event = connection.next_event()
            if status != 200:
                log(f"[ERROR] the host answered {status} to next")
                leave(1)
            outcome, body, kind = invoke(handler, connection, headers, event, alone)
            event = None
            flush()
            if outcome:
                path, lines = outcome_head(headers, outcome, kind)
                connection.post_outcome(path, body, lines)
            else:
                connection.send(body, tail=NEXT)
            body = None
    except HostGone:
        pass
    except SystemExit as request:
        leave_as_asked(request)


def connect():
    """The connections of this worker: inherited, or one to AWS_LAMBDA_RUNTIME_API."""
    descriptors = os.environ.pop("ROOST_RUNTIME_FDS", "")
    if descriptors:
        return [Connection(int(text)) for text in descriptors.split(",")]
    host, _, port = os.environ["AWS_LAMBDA_RUNTIME_API"].rpartition(":")
    import socket
    connected = socket.create_connection((host, int(port)))
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return [Connection(connected.detach())]


def main():
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # KeyboardInterrupt is of no use to a worker
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    connections = connect()
    name = os.environ.get("_HANDLER") or ""
    find = load
    if name.endswith(".py") and "ROOST_OUTPUT_DIR" in os.environ:  # a training
        from roost_script import load as find
    # Not the folder of this file, which Python or bootstrap.py has put first.
    sys.path.remove(os.path.dirname(__file__))
    sys.path.insert(0, os.environ.get("LAMBDA_TASK_ROOT") or os.getcwd())
    sys.meta_path.insert(0, LoggingHook)
    try:
        handler = find(name)
    except Failure as error:
        log("".join([f"[ERROR] {error.kind}: {error.message}\n", *error.stack]))
        body = error_body(error.message, error.kind, error.stack, "")
        flush()
        try:
            connections[0].post(BASE + b"init/error", body, b"Content-Type: application/json\r\n"
                                b"Lambda-Runtime-Function-Error-Type: %b\r\n" % error.kind.encode("ascii", "replace"))
            connections[0].read_answer()
        except HostGone:
            pass
        leave(1)
    except SystemExit as request:
        leave_as_asked(request)

    if len(connections) == 1:
        serve(handler, connections[0], True)
        leave(0)
    import threading
    threads = [threading.Thread(target=serve, args=(handler, connection, False), name=f"slot-{index}", daemon=True)
               for index, connection in enumerate(connections)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except SystemExit as request:  # from a signal handler of the function
        leave_as_asked(request)
    leave(0)
