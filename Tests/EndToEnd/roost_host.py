"""A real host for the end-to-end tests, what one needs to talk to it, and the process table beside it.

    with RoostHost(directory) as host:
        host.create("echo", "def handler(event, context): return event")
        assert host.invoke("echo", {"a": 1}).json == {"a": 1}

The binary is $ROOST_BINARY, else this repository's release build. Nothing here sleeps to wait: `until` polls and gives up.
"""

import base64
import hashlib
import http.client
import io
import json
import os
import signal
import subprocess
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("ROOST_BINARY") or str(ROOT / ".build" / "release" / "roost")
FUNCTIONS = "/2015-03-31/functions"
ROLE = "arn:aws:iam::000000000000:role/roost"
ENDED = ("SUCCEEDED", "FAILED", "TIMED_OUT", "STOPPED")

# Waits as the event says, and does what else the tests ask for.
SLEEPER = """
import time

def handler(event, context):
    time.sleep(event.get("seconds", 0))
    return {"request": context.aws_request_id}
"""


def until(condition, seconds=10, what="it"):
    """The first true value of `condition()`."""
    end = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen within {seconds} s; last: {value!r}")
        time.sleep(0.01)


def zipped(files):
    """A package of {path: text or bytes}; `bootstrap` is executable."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in files.items():
            info = zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0))
            info.external_attr = (0o100755 if path == "bootstrap" else 0o100644) << 16
            archive.writestr(info, content)
    return buffer.getvalue()


class Answer:
    """An HTTP answer that has been read."""

    def __init__(self, response, body, seconds):
        self.status = response.status
        self.headers = response.headers
        self.body = body
        self.seconds = seconds

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def function_error(self):
        return self.headers["X-Amz-Function-Error"]

    @property
    def timing(self):
        """{"queue": ms, "init": ms, "run": ms}; `init` only after a cold start."""
        return {key: float(value) for key, value in (part.split("=") for part in self.headers["Roost-Timing"].split(";"))}

    @property
    def is_cold(self):
        return "init" in self.timing

    def __repr__(self):
        return f"<{self.status} {dict(self.headers)} {self.body[:500]!r}>"


# MARK: - the process table

def process_table():
    """{pid: (parent's pid, state, name)} of all processes."""
    table = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            name, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
            table[int(entry)] = (int(rest[1]), rest[0], name)
    return table


def descendants(pid):
    """The pids below one, whatever their state."""
    table = process_table()
    found, last = set(), {pid}
    while last:
        last = {child for child, (parent, _, _) in table.items() if parent in last}
        found |= last
    return found


def start_time(pid):
    """Tells a process from a later one with its pid; None when there is none, or only its zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    rest = text[text.rindex(")") + 2:].split()
    return None if rest[0] in "ZX" else rest[19]


class Processes:
    """Some processes as they are now, so that one can ask later which of them are left."""

    def __init__(self, pids):
        self.known = {pid: time for pid in pids if (time := start_time(pid))}

    def left(self):
        return [pid for pid, time in self.known.items() if start_time(pid) == time]

    def __len__(self):
        return len(self.known)


# MARK: - the host

def ordinary_user():
    """A uid that root may lend a host, of no account. Skips the test where that cannot be."""
    import pytest

    user = 12345
    if os.geteuid() != 0:
        pytest.skip("only root can lend a host to another user; all other tests ran as an ordinary one")
    if subprocess.run(["test", "-x", BINARY], user=user, group=user, extra_groups=[]).returncode != 0:
        pytest.skip(f"{BINARY} is out of reach for an ordinary user here")
    return user


class RoostHost:
    """`roost serve` on a free port with a data directory of its own.

    Leaving the `with` block ends it with SIGTERM and asserts that it exited with 0, unless it was killed before.
    """

    def __init__(self, data_dir, config=None, arguments=(), user=None):
        self.user = user  # a uid that root lends the host; None is whoever runs the tests
        self.data_dir = Path(data_dir)
        self.config = config
        self.arguments = list(arguments)
        self.process = None
        self.local = threading.local()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if self.process is None:
            return
        if kind is None:
            self.stop()
        else:
            self.kill9()

    # MARK: life

    def start(self):
        self.data_dir.mkdir(parents=True, exist_ok=True)
        identity = {}
        if self.user is not None:
            os.chown(self.data_dir, self.user, self.user)
            identity = {"user": self.user, "group": self.user, "extra_groups": []}
        command = [BINARY, "serve", "--listen", "127.0.0.1:0", "--data-dir", str(self.data_dir), *self.arguments]
        if self.config is not None:
            path = self.data_dir.parent / (self.data_dir.name + ".json")
            path.write_text(json.dumps(self.config))
            command += ["--config", str(path)]
        self.errors = self.data_dir.parent / (self.data_dir.name + ".stderr")
        with open(self.errors, "ab") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, **identity)
        line = self.process.stdout.readline()
        if not line.startswith("roost: listening on http://"):
            code = self.process.wait(10)
            self.process = None
            raise AssertionError(f"the host exited with {code}; it said {line!r} and {self.errors.read_text()!r}")
        self.endpoint = line.split()[-1]
        self.port = int(self.endpoint.rsplit(":", 1)[1])
        self.local = threading.local()
        return self

    @property
    def pid(self):
        return self.process.pid

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self, seconds=40):
        code = self.process.wait(seconds)
        self.process.stdout.close()
        self.process = None
        return code

    def stop(self, seconds=40):
        self.terminate()
        code = self.exit_code(seconds)
        assert code == 0, f"the host exited with {code}: {self.errors.read_text()[-2000:]}"

    def kill9(self):
        self.process.kill()
        self.exit_code()

    def restart(self):
        """Ends it, if it runs, and starts it again on the same data."""
        if self.process is not None:
            self.stop()
        return self.start()

    # MARK: requests

    def request(self, method, path, body=None, headers=None, timeout=60):
        """Over this thread's connection. A body that is no bytes is sent as JSON."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        begin = time.monotonic()
        connection = getattr(self.local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        self.local.connection = None
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        answer = Answer(response, response.read(), time.monotonic() - begin)
        self.local.connection = None if response.will_close else connection
        return answer

    def call(self, method, path, body=None, headers=None):
        """The JSON of an answer that must be a success."""
        answer = self.request(method, path, body, headers)
        assert answer.status in (200, 201, 202, 204), f"{method} {path}: {answer!r}"
        return answer.json if answer.body else None

    def roost(self, *arguments, check=True):
        """Runs a client verb; its standard output."""
        done = subprocess.run(
            [BINARY, *map(str, arguments), "--endpoint", self.endpoint], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=280)
        if check:
            assert done.returncode == 0, f"roost {arguments}: {done.returncode} {done.stderr}"
        return done.stdout

    def boto3(self, service="lambda"):
        import boto3
        from botocore.config import Config

        return boto3.client(
            service, endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id="none",
            aws_secret_access_key="none", config=Config(retries={"max_attempts": 0}, read_timeout=60))

    # MARK: functions

    def create(self, name, source=None, files=None, handler="index.handler", runtime="python3", timeout=10, memory=128,
               keep_alive=None, environment=None, reserved=None, publish=False):
        """`source` is the text of `index.py`, or of `bootstrap` for the runtime `provided`."""
        variables = dict(environment or {})
        if keep_alive is not None:
            variables["ROOST_KEEP_ALIVE"] = str(keep_alive)
        configuration = self.call("POST", FUNCTIONS, {
            "FunctionName": name, "Runtime": runtime, "Role": ROLE, "Handler": handler, "Timeout": timeout,
            "MemorySize": memory, "Environment": {"Variables": variables}, "Publish": publish,
            "Code": {"ZipFile": self.package(source, files, runtime)}})
        if reserved is not None:
            self.reserve(name, reserved)
        return configuration

    @staticmethod
    def package(source=None, files=None, runtime="python3"):
        files = files or {"bootstrap" if runtime.startswith("provided") else "index.py": source}
        return base64.b64encode(zipped(files)).decode()

    def update_code(self, name, source, publish=False):
        return self.call("PUT", f"{FUNCTIONS}/{name}/code", {"ZipFile": self.package(source), "Publish": publish})

    def reserve(self, name, count):
        self.call("PUT", f"/2017-10-31/functions/{name}/concurrency", {"ReservedConcurrentExecutions": count})

    def set_alias(self, name, alias, version):
        path = f"{FUNCTIONS}/{name}/aliases"
        if self.request("GET", f"{path}/{alias}").status == 404:
            return self.call("POST", path, {"Name": alias, "FunctionVersion": str(version)})
        return self.call("PUT", f"{path}/{alias}", {"FunctionVersion": str(version)})

    def rollback(self, name, alias):
        return self.call("POST", f"/roost/v1/functions/{name}/aliases/{alias}/rollback", {})

    def versions(self, name):
        """Published ones, newest first, with their lineage."""
        listed = self.call("GET", f"/roost/v1/functions/{name}/versions")["Versions"]
        return [version for version in listed if version["Version"] != "$LATEST"]

    def invoke(self, name, event=None, qualifier=None, headers=None, timeout=60):
        path = f"{FUNCTIONS}/{name}/invocations" + (f"?Qualifier={quote(qualifier)}" if qualifier else "")
        return self.request("POST", path, {} if event is None else event, headers, timeout)

    def invoke_all(self, name, events):
        """All at once, each over a connection of its own."""
        with ThreadPoolExecutor(len(events)) as pool:
            return list(pool.map(lambda event: self.invoke(name, event), events))

    def in_background(self, name, event, **options):
        """A future of the answer. Raises there when the host ends without one."""
        pool = ThreadPoolExecutor(1)
        future = pool.submit(self.invoke, name, event, **options)
        pool.shutdown(wait=False)
        return future

    def log(self, name, lines=1000):
        """[(time, version, worker, request, text)]"""
        text = self.request("GET", f"/roost/v1/functions/{name}/logs?lines={lines}").body.decode()
        return [tuple(line.split("\t", 4)) for line in text.splitlines()]

    # MARK: executions

    def start_execution(self, name, event, execution_name=None, qualifier=None):
        """Event invocation; the execution's id."""
        headers = {"X-Amz-Invocation-Type": "Event"}
        if execution_name:
            headers["X-Amz-Durable-Execution-Name"] = execution_name
        answer = self.invoke(name, event, qualifier=qualifier, headers=headers)
        assert answer.status == 202, answer
        return answer.headers["X-Amz-Durable-Execution-Arn"].rsplit("/", 1)[1]

    def execution(self, identifier):
        return self.call("GET", f"/roost/v1/executions/{identifier}")

    def events(self, identifier):
        return self.call("GET", f"/roost/v1/executions/{identifier}/events")["Events"]

    def kinds(self, identifier):
        return [event["Kind"] for event in self.events(identifier)]

    def failures(self, identifier):
        """How many attempts ended with an error."""
        return sum(e["Kind"] == "attemptEnded" and "errorType" in e["Detail"] for e in self.events(identifier))

    def finished(self, identifier, seconds=20):
        """The execution once it has ended."""
        return until(
            lambda: (e := self.execution(identifier))["Status"] in ENDED and e, seconds, f"the end of {identifier}")

    def running(self, identifier, step=0, seconds=20):
        """The execution once it runs, and has reported `step`."""
        def reached():
            execution = self.execution(identifier)
            assert execution["Status"] not in ENDED, execution
            return execution["Status"] == "RUNNING" and (
                step == 0 or execution.get("Progress", {}).get("step", 0) >= step) and execution
        return until(reached, seconds, f"step {step} of {identifier}")

    def upload(self, files):
        """Stores {path: bytes} as an artifact; its name."""
        lines = []
        for path in sorted(files, key=str.encode):
            digest = hashlib.sha256(files[path]).hexdigest()
            self.call("PUT", f"/roost/v1/artifacts/sha256:{digest}", files[path])
            lines.append(f"644 {len(files[path])} {digest} {quote(path, safe='/')}\n")
        manifest = "".join(lines).encode()
        name = "sha256:" + hashlib.sha256(manifest).hexdigest()
        self.call("PUT", f"/roost/v1/manifests/{name}", manifest)
        return name

    # MARK: workers

    def pools(self, name):
        return [pool for pool in self.call("GET", "/roost/v1/workers")["Pools"] if pool["FunctionName"] == name]

    def workers(self, name, state=None):
        """What the host says of a function's workers."""
        return [worker for pool in self.pools(name) for worker in pool["Workers"] if state in (None, worker["State"])]

    def sandbox_processes(self, name):
        """All processes of the function's sandboxes, from the process table: each is one child of the host's, and all
        below it."""
        table = process_table()
        sandboxes = set()
        for worker in self.workers(name):
            pid = worker["ProcessId"]
            while pid in table and table[pid][0] != self.pid:
                pid = table[pid][0]
            if pid in table:
                sandboxes.add(pid)
        return sandboxes.union(*(descendants(pid) for pid in sandboxes))

    def worker_pids(self, name):
        """The functions' own processes, as this machine numbers them: neither bubblewrap's nor the launcher's."""
        table = process_table()
        return sorted(
            pid for pid in self.sandbox_processes(name)
            if pid in table and table[pid][1] not in "ZX" and table[pid][2] not in ("bwrap", "roost-launch"))

    def children(self):
        """{pid: state} of the host's own children."""
        return {pid: state for pid, (parent, state, _) in process_table().items() if parent == self.pid}

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def metric(self, name):
        """The value of a metric without labels."""
        for line in self.request("GET", "/metrics").body.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        raise AssertionError(f"there is no metric {name}")
