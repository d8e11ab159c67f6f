"""What every end-to-end test needs: real hosts on free ports with data directories of their own, and clients for them.

ROOST_BINARY names the program under test; without it, the one that `make build` leaves.
"""

import dataclasses
import http.client
import io
import json
import os
import re
import select
import signal
import socket
import subprocess
import time
import zipfile
from pathlib import Path

import boto3
import botocore.config
import pytest

pytest.register_assert_rewrite("lambda_api")
# A shell that runs the tests in the background has it ignored, and what they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("ROOST_BINARY") or ROOT / ".build/release/roost").resolve()
ROLE = "arn:aws:iam::000000000000:role/roost"
ARN = "arn:aws:lambda:us-east-1:000000000000:function:"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
    # No look at the machine's own configuration, nor at a metadata service that is not there.
    "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
}
ECHO = "def handler(event, context):\n    return event\n"


def wait_until(condition, what, seconds=20):
    """The first true value of `condition()`; fails when there was none in time."""
    deadline = time.monotonic() + seconds
    pause = 0.002
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def make_zip(files, executable=()):
    """A zip with these files: {path: text or bytes}."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0))
            entry.external_attr = (0o100755 if path in executable else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return data.getvalue()


@dataclasses.dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        """The name of the error, as clients find it."""
        return self.headers["x-amzn-ErrorType"]

    @property
    def message(self):
        return self.json.get("message") or self.json.get("Message")


class Kept(io.BufferedReader):
    """A buffer that http.client does not close behind an answer: the next one may be in it already."""

    def close(self):
        pass


class RawConnection:
    """A TCP connection to a host, on which any bytes can be sent."""

    def __init__(self, port, seconds=10):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self.file = Kept(socket.SocketIO(self.socket, "r"))

    def makefile(self, _mode):
        return self.file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        """Sends what the host takes: it may hang up before it has everything."""
        try:
            self.socket.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))
        except (BrokenPipeError, ConnectionResetError):
            pass

    def answer(self, method="GET"):
        response = http.client.HTTPResponse(self, method=method)
        response.begin()
        return Answer(response.status, response.headers, response.read())

    def expect_end(self):
        """The host has closed its direction, without another byte."""
        try:
            rest = self.file.read(1)
        except ConnectionResetError:
            rest = b""
        assert rest == b""

    def close(self):
        self.socket.close()


class Host:
    """A `roost serve` process of its own."""

    def __init__(self, directory, config=None, arguments=()):
        assert os.access(BINARY, os.X_OK), f"there is no {BINARY}: run `make build`, or set ROOST_BINARY"
        self.directory = Path(directory)
        self.data = self.directory / "data"
        self.directory.mkdir(parents=True, exist_ok=True)
        self.arguments = [str(BINARY), "serve", "--listen", "127.0.0.1:0", "--data-dir", str(self.data), *arguments]
        if config is not None:
            file = self.directory / "config.json"
            file.write_text(json.dumps(config))
            self.arguments += ["--config", str(file)]
        self.log = self.directory / "stderr.txt"
        self.process = None
        self.start()

    def start(self):
        """Starts it, after `stop` or `kill` also again, on the same data and another port."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
                start_new_session=True)
        # Its first line, or the end of the process.
        ready, _, _ = select.select([self.process.stdout], [], [], 30)
        line = self.process.stdout.readline() if ready else "nothing"
        match = re.fullmatch(r"roost: listening on (http://127\.0\.0\.1:(\d+))\n", line)
        if not match:
            self.kill()
            pytest.fail(f"the host did not start: {line!r}\n{self.stderr}")
        self.endpoint, self.port = match[1], int(match[2])

    @property
    def stderr(self):
        return self.log.read_text(errors="replace")

    @property
    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, seconds=40):
        """Ends it in order: exit status 0 on SIGTERM, and no word of a fault."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"the host was still there {seconds} s after SIGTERM\n{self.stderr}")
        self.process.stdout.close()
        assert code == 0, f"the host ended with status {code}\n{self.stderr}"
        assert "Fatal error" not in self.stderr, self.stderr

    def kill(self):
        if self.is_running:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    # MARK: clients

    def request(self, method, path, body=None, headers=None, seconds=30):
        """One request by hand. A body that is neither text nor bytes is sent as JSON."""
        if isinstance(body, str):
            body = body.encode()
        elif body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def raw(self, seconds=10):
        return RawConnection(self.port, seconds)

    def roost(self, *arguments, input=None, check=None, seconds=60, environment=None):
        """Runs a client verb; output and errors as text. `check` is the exit status it must have."""
        result = subprocess.run(
            [str(BINARY), *map(str, arguments)], input=input, capture_output=True, text=True, timeout=seconds,
            env={**os.environ, "ROOST_ENDPOINT": self.endpoint, **(environment or {})})
        if check is not None:
            assert result.returncode == check, f"exit status {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result

    def client(self, **options):
        """boto3 as a user sets it up; one attempt, so that an error is seen as it is and not after three."""
        settings = {"retries": {"total_max_attempts": 1}, "read_timeout": 60, **options}
        session = boto3.Session(
            aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
        return session.client("lambda", endpoint_url=self.endpoint, config=botocore.config.Config(**settings))

    def workers(self, function=None):
        """Those that are alive, of one function or of all."""
        pools = self.request("GET", "/roost/v1/workers").json["Pools"]
        return [worker for pool in pools if function in (None, pool["FunctionName"]) for worker in pool["Workers"]]


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """The host that the tests of a file share, with the settings it has by default."""
    it = Host(tmp_path_factory.mktemp("host"))
    yield it
    if it.is_running:
        it.stop()
    else:
        pytest.fail(f"the host had ended with status {it.process.returncode}\n{it.stderr}")


@pytest.fixture
def make_host(tmp_path):
    """Starts hosts for one test: make_host(config={...}, arguments=[...]). What still runs is stopped in order."""
    hosts = []

    def make(config=None, arguments=(), directory=None):
        hosts.append(Host(directory or tmp_path / f"host{len(hosts)}", config, arguments))
        return hosts[-1]

    yield make
    for it in hosts:
        if it.is_running:
            it.stop()


@pytest.fixture(scope="module")
def lambda_client(host):
    """boto3 for the module's host; what it is answered is compared with the service's model."""
    from lambda_api import checked

    return checked(host.client())


@pytest.fixture
def make_function(request, lambda_client):
    """Creates functions of the module's host, each with a name of its own, and deletes them after the test.

    make_function(source) is a python3 function whose module is `function`; `files` replaces it by other files.
    """
    made = []

    def make(source=ECHO, name=None, files=None, executable=(), **options):
        stem = re.sub(r"\W+", "-", request.node.name.removeprefix("test_"))[:40].strip("-")
        name = name or f"{stem}-{len(made)}"
        options = {"Runtime": "python3", "Handler": "function.handler", **options}
        lambda_client.create_function(
            FunctionName=name, Role=ROLE,
            Code={"ZipFile": make_zip(files or {"function.py": source}, executable)}, **options)
        made.append(name)
        return name

    yield make
    for name in made:
        try:
            lambda_client.delete_function(FunctionName=name)
        except lambda_client.exceptions.ResourceNotFoundException:
            pass


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, Host) and value.stderr:
                report.sections.append((f"standard error of {name}", value.stderr[-4000:]))
    return report
