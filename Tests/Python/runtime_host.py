"""A host made of nothing: what Roost does for a worker, in the fewest lines, for tests of the other side.

`Slot` speaks the host's half of the Runtime API over one connection; `Stream` reads a streamed answer. `Launched` starts
a program under roost-launch, with or without bubblewrap, and holds what the control message brought.
runtime/PROTOCOL.md is what both follow.
"""

import array
import atexit
import base64
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BOOTSTRAP = ROOT / "runtime" / "python" / "bootstrap.py"
PYTHON = os.environ.get("ROOST_PYTHON", "/usr/bin/python3")
ECHO = "def handler(event, context):\n    return event\n"
PATH = "/usr/local/bin:/usr/bin:/bin"
ETC = ("alternatives ca-certificates fonts group hosts ld.so.cache ld.so.conf ld.so.conf.d localtime magic mime.types "
       "nsswitch.conf passwd protocols python3 python3.11 resolv.conf services ssl OpenCL vulkan").split()
NOBODY = 65534

# MARK: the sandbox

def staged():
    """A directory that any user can read, as the host lays it out: `roost-launch` (ROOST_LAUNCH, or compiled here)
    and `python/`. Made once."""
    if not hasattr(staged, "path"):
        path = Path(tempfile.mkdtemp(prefix="roost-stage-"))
        atexit.register(shutil.rmtree, path, ignore_errors=True)
        path.chmod(0o755)
        shutil.copytree(BOOTSTRAP.parent, path / "python", ignore=shutil.ignore_patterns("__pycache__"))
        target = str(path / "roost-launch")
        if "ROOST_LAUNCH" in os.environ:
            shutil.copy(os.environ["ROOST_LAUNCH"], target)
        else:
            sources = sorted(str(path) for path in (ROOT / "Sources" / "Launch").glob("*.c"))
            subprocess.run(["cc", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-o", target, *sources], check=True)
        staged.path = path
    return staged.path


def launcher():
    return str(staged() / "roost-launch")


def sandbox_arguments(root, task=None, model=None, network=False, channels=(), checkpoint=None, output=None,
                      extra_binds=(), chdir="/var/task", tmp_bytes=512 << 20):
    """The bubblewrap command line of PROTOCOL.md section 10, without the program and what follows its `--args`."""
    a = ["--die-with-parent", "--new-session",
         "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--hostname", "roost"]
    if root:
        a += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SYS_ADMIN"]
    else:
        a += ["--unshare-user", "--disable-userns"]
    if not network:
        a += ["--unshare-net"]
    # Parents that bubblewrap makes on the way are 0700: the dropped user could not pass through them.
    for directory in ("/etc", "/opt", "/opt/roost", "/opt/channels", "/var", "/sys", "/sys/devices", "/sys/devices/system"):
        a += ["--dir", directory]
    a += ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        if os.path.islink(f"/{name}"):
            a += ["--symlink", os.readlink(f"/{name}"), f"/{name}"]
        elif os.path.isdir(f"/{name}"):
            a += ["--ro-bind", f"/{name}", f"/{name}"]
    for name in ETC:
        if not network and name in ("hosts", "resolv.conf"):
            continue
        a += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    a += ["--proc", "/proc", "--dev", "/dev"]
    a += ["--perms", "1777", "--size", str(tmp_bytes), "--tmpfs", "/dev/shm"]
    a += ["--perms", "1777", "--size", str(tmp_bytes), "--tmpfs", "/tmp"]
    a += ["--ro-bind-try", "/sys/devices/system/cpu", "/sys/devices/system/cpu"]
    a += ["--ro-bind", launcher(), "/opt/roost/roost-launch"]
    a += ["--ro-bind", str(staged() / "python"), "/opt/roost/python"]
    if task:
        a += ["--ro-bind", str(task), "/var/task"]
    else:
        a += ["--dir", "/var/task"]
    if model:
        a += ["--ro-bind", str(model), "/opt/model"]
    for name, source in dict(channels).items():
        a += ["--ro-bind", str(source), f"/opt/channels/{name}"]
    if checkpoint:
        a += ["--bind", str(checkpoint), "/opt/checkpoint"]
    if output:
        a += ["--bind", str(output), "/opt/output"]
    for source, target in extra_binds:
        a += ["--ro-bind", str(source), target]
    a += ["--remount-ro", "/", "--chdir", "/"]
    return a


def in_memory(name, strings):
    """A memfd that holds the strings, each NUL-terminated. What is secret or of the host never stands in argv."""
    descriptor = os.memfd_create(name)
    os.write(descriptor, b"".join(string.encode() + b"\0" for string in strings))
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


class Message:
    """The control message: 128 bytes and the descriptors that came with them."""

    def __init__(self, data, descriptors):
        magic, self.version, self.kind, self.port, self.count, self.error, text = struct.unpack("=4sHHHHi112s", data)
        assert magic == b"ROST"
        self.text = text.split(b"\0", 1)[0].decode()
        self.descriptors = descriptors


def receive_message(control):
    data, ancillary, _, _ = control.recvmsg(128, socket.CMSG_SPACE(4 * 4), socket.MSG_CMSG_CLOEXEC)
    if not data:
        return None
    descriptors = array.array("i")
    for level, kind, body in ancillary:
        assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        descriptors.frombytes(body)
    return Message(data, list(descriptors))


class Launched:
    """A program started through roost-launch. `sandbox` is "bwrap" or "none"; `user` runs bubblewrap as that uid."""

    def __init__(self, command, sandbox="bwrap", flags=(), environment=None, inherit=(), control=True, user=None,
                 sandbox_options=None, session=True, launch=None, stdin=None):
        self.root = os.geteuid() == 0 and user is None
        ours, theirs = socket.socketpair()
        self.control = ours
        passed = list(inherit)
        arguments = [launch or ("/opt/roost/roost-launch" if sandbox == "bwrap" else launcher())]
        if control:
            passed.append(theirs.fileno())
            arguments += ["--control", str(theirs.fileno())]
        if environment is not None:
            passed.append(in_memory("environment", (f"{k}={v}" for k, v in environment.items())))
            arguments += ["--environment", str(passed[-1])]
        if inherit:
            arguments += ["--inherit", ",".join(map(str, inherit))]
        if sandbox == "bwrap" and self.root:
            arguments += ["--userns"]
        arguments += [*map(str, flags), "--", *map(str, command)]
        if sandbox == "bwrap":
            passed.append(in_memory("arguments", sandbox_arguments(self.root, **(sandbox_options or {}))))
            arguments = ["bwrap", "--args", str(passed[-1]), "--", *arguments]
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            arguments, pass_fds=passed, stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={"PATH": PATH}, start_new_session=session, user=user, group=user, extra_groups=[] if user else None)
        for descriptor in passed:
            if descriptor not in inherit and descriptor != theirs.fileno():
                os.close(descriptor)
        theirs.close()
        self.message = None
        self.pidfd = self.listener = None
        if control:
            ours.settimeout(20)
            self.message = receive_message(ours)
            if self.message and self.message.descriptors:
                self.pidfd = self.message.descriptors[0]
                if len(self.message.descriptors) > 1:
                    self.listener = socket.socket(fileno=self.message.descriptors[1])

    @property
    def pid(self):
        """The worker's pid as the host sees it, from the pidfd."""
        for line in Path(f"/proc/self/fdinfo/{self.pidfd}").read_text().splitlines():
            if line.startswith("Pid:"):
                return int(line.split()[1])

    def signal(self, number):
        signal.pidfd_send_signal(self.pidfd, number)

    def wait(self, timeout=20):
        out, err = self.process.communicate(timeout=timeout)
        self.close()
        return self.process.returncode, out.decode(), err.decode()

    def is_alive(self):
        return not select.select([self.pidfd], [], [], 0)[0]

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            stream.close()
        self.control.close()
        if self.listener:
            self.listener.close()
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# MARK: the Runtime API

class Gone(Exception):
    """The worker has closed the connection."""


class Request:
    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers, self.body = method, path, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.method} {self.path} {self.headers} {self.body[:200]!r}>"


def fields(lines):
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


class Stream:
    """A streamed answer, read chunk by chunk. `refuse` is the host's early answer; then `rest` reads past what comes."""

    def __init__(self, slot, headers):
        self.slot, self.headers = slot, headers
        self.trailers = None

    def chunk(self):
        """The next chunk, or `None` for the last, after which `trailers` are there."""
        slot = self.slot
        size = int(slot.line_block(b"\r\n")[0], 16)
        if not size:
            lines = []
            while line := slot.line_block(b"\r\n")[0]:
                lines.append(line)
            self.trailers = fields(lines)
            assert {*self.trailers} <= {name.strip().lower() for name in self.headers["trailer"].split(",")}
            return None
        parts, have = [slot.buffer], len(slot.buffer)
        while have < size + 2:
            slot.buffer = b""
            slot.read_more()
            parts.append(slot.buffer)
            have += len(slot.buffer)
        data = b"".join(parts)
        assert data[size:size + 2] == b"\r\n"
        slot.buffer = data[size + 2:]
        return data[:size]

    def rest(self):
        return list(iter(self.chunk, None))

    def refuse(self, status=410, kind="InvokeTimeout"):
        self.slot.send(Slot.answer_bytes(status, json.dumps({"errorMessage": "over", "errorType": kind}).encode()))

    @property
    def error(self):
        """The error object of the trailers; `None` without them."""
        if not self.trailers:
            return None
        body = json.loads(base64.b64decode(self.trailers["lambda-runtime-function-error-body"], validate=True))
        assert body["errorType"] == self.trailers["lambda-runtime-function-error-type"]
        return body


class Slot:
    """The host's end of one connection. `reads` counts the reads that brought data."""

    def __init__(self, connection, timeout=20):
        self.connection = connection
        self.connection.settimeout(timeout)
        self.buffer = b""
        self.reads = 0
        self.count = 0

    def read_more(self):
        try:
            data = self.connection.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Gone
        self.reads += 1
        self.buffer += data

    def line_block(self, end):
        """What comes before `end`, which is consumed too, as lines."""
        while end not in self.buffer:
            self.read_more()
        block, _, self.buffer = self.buffer.partition(end)
        return block.decode("latin-1").split("\r\n")

    def head(self):
        lines = self.line_block(b"\r\n\r\n")
        headers = fields(lines[1:])
        method, path, version = lines[0].split(" ")
        assert version == "HTTP/1.1" and headers["host"], lines
        return Request(method, path, headers, b"")

    def request(self):
        request = self.head()
        assert "transfer-encoding" not in request.headers, request
        length = int(request.headers.get("content-length", 0))
        rest = self.buffer
        chunks, have = [rest], len(rest)
        while have < length:
            self.buffer = b""
            self.read_more()
            chunks.append(self.buffer)
            have += len(self.buffer)
        rest = b"".join(chunks)
        self.buffer = rest[length:]
        request.body = rest[:length]
        return request

    def stream(self):
        """The head of the streamed answer to the invocation that was sent last."""
        request = self.head()
        headers = request.headers
        assert (request.method, request.path) == ("POST", f"/2018-06-01/runtime/invocation/{self.id}/response"), request
        assert headers["lambda-runtime-invocation-id"] == f"nonce-{self.count}"
        assert headers["lambda-runtime-function-response-mode"] == "streaming"
        assert headers["transfer-encoding"] == "chunked" and "content-length" not in headers
        return Stream(self, headers)

    def expect_next(self):
        request = self.request()
        assert (request.method, request.path) == ("GET", "/2018-06-01/runtime/invocation/next"), request
        return request

    @staticmethod
    def answer_bytes(status, body=b"", headers=(), content_type="application/json"):
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *(f"{k}: {v}" for k, v in dict(headers).items())]
        if content_type:
            lines.insert(1, f"Content-Type: {content_type}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8") + body

    ACCEPTED = answer_bytes.__func__(202, b'{"status":"OK"}\n')

    def event_bytes(self, event, request_id=None, deadline=None, content_type="application/json", **headers):
        self.count += 1
        self.id = request_id or f"00000000-0000-4000-8000-{self.count:012}"
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        return self.answer_bytes(200, body, {
            "Lambda-Runtime-Aws-Request-Id": self.id,
            "Lambda-Runtime-Deadline-Ms": str(deadline or int(time.time() * 1000) + 30_000),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:f:live",
            "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0",
            "Lambda-Runtime-Invocation-Id": f"nonce-{self.count}",
            **{name.replace("_", "-"): value for name, value in headers.items()}}, content_type)

    def send(self, data):
        self.connection.sendall(data)

    def outcome(self):
        """What the worker posts for the invocation it was sent last: ("response" or "error", the request)."""
        request = self.request()
        prefix = f"/2018-06-01/runtime/invocation/{self.id}/"
        assert request.method == "POST" and request.path.startswith(prefix), request
        assert request.headers["lambda-runtime-invocation-id"] == f"nonce-{self.count}"
        return request.path[len(prefix):], request

    def invoke_stream(self, event, **options):
        """A streamed call, read to its end: (the chunks, the stream)."""
        self.send(self.event_bytes(event, **options))
        stream = self.stream()
        chunks = stream.rest()
        self.expect_next()
        self.send(self.ACCEPTED)
        return chunks, stream

    def invoke(self, event, acknowledge=b"", **options):
        """One warm call: event out (behind the acknowledgement of the last one), outcome and `next` in."""
        self.send(acknowledge + self.event_bytes(event, **options))
        kind, request = self.outcome()
        self.expect_next()
        self.send(self.ACCEPTED)
        return kind, request


class Worker:
    """The Python runtime as a real process, over socketpairs, serving a handler from a folder."""

    def __init__(self, folder, handler="function.handler", slots=1, environment=None, prefix=(), flags=("-s",)):
        pairs = [socket.socketpair() for _ in range(slots)]
        inner = [pair[1].fileno() for pair in pairs]
        environment = {
            "PATH": PATH, "LANG": "C.UTF-8", "TZ": ":UTC", "_HANDLER": handler, "LAMBDA_TASK_ROOT": str(folder),
            "ROOST_RUNTIME_FDS": ",".join(map(str, inner)), "AWS_LAMBDA_FUNCTION_NAME": "f",
            "AWS_LAMBDA_FUNCTION_VERSION": "7", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "AWS_REGION": "us-east-1",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/f", "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[7]0",
            **(environment or {})}
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [*prefix, PYTHON, *flags, str(BOOTSTRAP)], env=environment, cwd=folder, pass_fds=inner,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _, theirs in pairs:
            theirs.close()
        self.slots = [Slot(ours) for ours, _ in pairs]
        self.slot = self.slots[0]

    def finish(self, hang_up=True):
        """(exit code, stdout, stderr); hangs up first unless told otherwise."""
        if hang_up:
            for slot in self.slots:
                slot.connection.close()
        out, err = self.process.communicate(timeout=20)
        self.close()
        return self.process.returncode, out.decode(), err.decode()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()
        for slot in self.slots:
            slot.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def error_of(it, event=None):
    kind, request = it.slot.invoke(event)
    assert kind == "error" and request.headers["content-type"] == "application/json"
    body = request.json
    assert list(body) == ["errorMessage", "errorType", "requestId", "stackTrace"] and body["requestId"] == it.slot.id
    return body


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
