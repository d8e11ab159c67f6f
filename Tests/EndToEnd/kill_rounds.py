"""A load of executions and trainings on a host that is killed again and again, and the count at the end.

Used by test_kill.py, with a few rounds, and by bench/kill, with many. Each round starts the host on the same data, sends
work, stops some of it, kills a worker now and then, and kills the host: at a random instant, or at a fault point. The
clock of the next host may be days ahead or behind, and garbage may follow the last write of the registry's log.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

from roost_host import ENDED, FUNCTIONS, RoostHost, until

FAULT_POINTS = (
    "accept.stored", "end.stored", "delivery.told", "publish.output-stored", "publish.committing", "publish.committed")

WORK = """
import os, time

def handler(event, context):
    time.sleep(event["seconds"])
    if event.get("fail"):
        raise ValueError("as asked")
    if event.get("exit"):
        os._exit(1)
    return event["id"]
"""

TRAINING = """
import os, time

def infer(event, context):
    with open(os.environ["ROOST_MODEL_DIR"] + "/model") as file:
        return file.read()

def train(event, context):
    checkpoint = os.environ["ROOST_CHECKPOINT_DIR"] + "/step"
    step = int(open(checkpoint).read()) if os.path.exists(checkpoint) else 0
    while step < event["steps"]:
        time.sleep(0.02)
        step += 1
        with open(checkpoint + ".new", "w") as file:
            file.write(str(step))
        os.replace(checkpoint + ".new", checkpoint)
        context.progress(fraction=step / event["steps"], step=step)
    with open(os.environ["ROOST_OUTPUT_DIR"] + "/model", "w") as file:
        file.write(event["id"] * 1000)
    return {"metrics": {"steps": step}}
"""

# Civil time as the host sees it, moved by $SHIFT_SECONDS.
SHIFT = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long shift(void) {
    const char *seconds = getenv("SHIFT_SECONDS");
    return seconds ? atol(seconds) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, time);
    if (status == 0 && clock == CLOCK_REALTIME) time->tv_sec += shift();
    return status;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    static int (*real)(struct timeval *, void *);
    if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
    int status = real(time, zone);
    if (status == 0) time->tv_sec += shift();
    return status;
}
"""


def shift_library(directory):
    source, library = Path(directory) / "shift.c", Path(directory) / "shift.so"
    source.write_text(SHIFT)
    compiler = shutil.which("cc") or shutil.which("clang")
    assert compiler, "no C compiler: neither cc nor clang is in PATH"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


class Rounds:
    def __init__(self, directory, seed):
        self.random = random.Random(seed)
        self.directory = Path(directory)
        self.told = {name: self.directory / name for name in ("good", "bad")}
        for spool in self.told.values():
            spool.mkdir(parents=True)
        self.host = RoostHost(self.directory / "data", {
            "retryDelaysSeconds": [0.05], "stopGraceSeconds": 1, "trainingConcurrency": 2,
            "artifactGraceHours": 0,
            "destinations": {f"arn:aws:s3:::{name}": {"directory": str(path)} for name, path in self.told.items()}})
        self.shift = shift_library(directory)
        self.lock = threading.Lock()
        self.collecting = threading.Lock()
        self.accepted = {}  # id -> event, of those that were answered 202
        self.stopped = set()  # those that a stop was sent for
        self.sent = 0
        self.problems = []  # answers that should not have been
        self.removed = 0  # files that nothing referred to
        self.kills = {}

    def start(self, fault=None, shift=0):
        environment = {"SHIFT_SECONDS": str(shift), "LD_PRELOAD": str(self.shift)} if shift else {}
        if fault:
            environment["ROOST_FAULT_POINT"] = fault
        os.environ.update(environment)
        try:
            self.host.start()
        finally:
            for name in environment:
                del os.environ[name]

    def prepare(self):
        self.start()
        self.host.create("work", WORK)
        self.host.create("model", TRAINING, handler="index.infer")
        self.host.create(
            "model-train", TRAINING, handler="index.train", environment={"ROOST_TRAINS": "model"}, timeout=60)
        for name in ("work", "model-train"):
            self.host.call(
                "PUT", f"/2019-09-25/functions/{name}/event-invoke-config",
                {"DestinationConfig": {
                    "OnSuccess": {"Destination": "arn:aws:s3:::good"}, "OnFailure": {"Destination": "arn:aws:s3:::bad"}}})
        self.host.stop()

    # MARK: load

    def event(self):
        with self.lock:
            self.sent += 1
            number = f"e{self.sent}"
            kind = self.random.random()
            draw = self.random.random()
        if kind < 0.08:
            return "model-train", {"id": number, "steps": 1 + int(draw * 12)}
        event = {"id": number, "seconds": draw * 0.02}
        if kind < 0.13:
            event["fail"] = True
        elif kind < 0.16:
            event["exit"] = True
        return "work", event

    def send(self, stopping):
        """Sends until the host is gone. What is answered 202 is a promise."""
        while not stopping.is_set():
            function, event = self.event()
            try:
                answer = self.host.request(
                    "POST", f"{FUNCTIONS}/{function}/invocations", event, {"X-Amz-Invocation-Type": "Event"}, timeout=10)
                if answer.status != 202:
                    assert answer.status in (429, 503), answer
                    continue
                identifier = answer.headers["X-Amz-Durable-Execution-Arn"].rsplit("/", 1)[1]
                with self.lock:
                    self.accepted[identifier] = event
                    draw = self.random.random()
                if draw < 0.03:
                    self.stopped.add(identifier)
                    stop = self.host.request("POST", f"/roost/v1/executions/{identifier}/stop", {}, timeout=10)
                    assert stop.status in (200, 202), stop
                elif draw > 0.99:
                    self.collect()
            except AssertionError as error:
                self.problems.append(error)
                return
            except Exception:  # noqa: BLE001: the host is gone
                return
            time.sleep(0.004)

    def collect(self):
        """Stores a file that nothing refers to, and has all such files removed. One client at a time: without a grace time
        another's collection may come between its requests."""
        with self.collecting:
            self.host.upload({"nothing": os.urandom(1000)})
            answer = self.host.request("POST", "/roost/v1/artifacts/gc", {}, timeout=10)
            assert answer.status == 200, answer
            self.removed += answer.json["RemovedFiles"]

    def round(self, fault=None, seconds=None):
        shift = self.random.choice([0, 0, -3 * 86400, 2 * 86400])
        try:
            self.start(fault, shift)
        except AssertionError as error:
            # What is stored is told from the start on, so it may die of that before it listens.
            assert fault == "delivery.told" and "exited with -9" in str(error), error
            self.kills[fault] = self.kills.get(fault, 0) + 1
            return
        stopping = threading.Event()
        threads = [threading.Thread(target=self.send, args=(stopping,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        process = self.host.process
        end = time.monotonic() + (seconds if seconds is not None else self.random.uniform(0.05, 1.0))
        if self.random.random() < 0.5:
            time.sleep(max(0, min(0.2, end - time.monotonic())))
            self.kill_a_worker()
        limit = end if fault is None else time.monotonic() + 20
        while process.poll() is None and time.monotonic() < limit:
            time.sleep(0.005)
        died = process.poll() is not None
        assert died == (fault is not None), f"the host {'died' if died else 'lived on'} in spite of {fault}"
        stopping.set()
        self.host.kill9()
        for thread in threads:
            thread.join(15)
            assert not thread.is_alive()
        self.kills[fault or "any"] = self.kills.get(fault or "any", 0) + 1
        if self.random.random() < 0.3:
            self.tear()

    def kill_a_worker(self):
        try:
            workers = [worker["ProcessId"] for name in ("work", "model-train") for worker in self.host.workers(name)]
            pid = self.random.choice([pid for pid in workers if pid] or [None])
            if pid:
                os.kill(pid, signal.SIGKILL)
        except (OSError, AssertionError, ValueError):
            pass

    def tear(self):
        """What a write leaves that did not get far: bytes behind the last frame of the log that mean nothing."""
        log = self.host.data_dir / "registry.sqlite-wal"
        if log.exists() and log.stat().st_size:
            with open(log, "ab") as file:
                file.write(self.random.randbytes(self.random.randint(1, 9000)))

    # MARK: the count

    def settle(self):
        """Lets everything end, and checks all that was promised. Returns the counts by status."""
        assert not self.problems, self.problems
        self.start()  # with the clock set right: retries may be due days from now
        live = "/roost/v1/executions?limit=1&status=QUEUED&status=RUNNING&status=PAUSING&status=PAUSED"
        until(lambda: not self.host.call("GET", live)["Executions"], 240, "the end of all executions")
        found, marker = {}, ""
        while True:
            page = self.host.call("GET", f"/roost/v1/executions?limit=1000{marker}")
            for execution in page["Executions"]:
                assert execution["Id"] not in found, "listed twice"
                found[execution["Id"]] = execution
            if "NextMarker" not in page:
                break
            marker = f"&marker={page['NextMarker']}"
        lost = set(self.accepted) - set(found)
        assert not lost, f"{len(lost)} accepted executions are lost: {sorted(lost)[:3]}"
        counts = {}
        for execution in found.values():
            assert execution["Status"] in ENDED, execution
            counts[execution["Status"]] = counts.get(execution["Status"], 0) + 1
        self.check_outcomes(found)
        self.check_versions(found)
        self.check_told(found)
        self.host.stop()
        self.check_files()
        assert sum(counts.values()) == len(found)
        return counts

    def check_outcomes(self, found):
        for identifier, event in self.accepted.items():
            status = found[identifier]["Status"]
            # A worker that is killed fails its training, which is not run again, and others when it happens twice.
            allowed = {"FAILED"} if event.get("fail") or event.get("exit") else {"SUCCEEDED", "FAILED"}
            if identifier in self.stopped:
                allowed.add("STOPPED")  # or it ended before; and the answer to a stop may have been lost with the host
            assert status in allowed, (status, event)

    def check_told(self, found):
        """Each end was told where it should be, and nowhere else."""
        def told(name):
            return {file.removesuffix(".json") for file in os.listdir(self.told[name]) if not file.startswith(".")}

        for name, has_succeeded in (("good", True), ("bad", False)):
            wanted = {
                identifier for identifier, execution in found.items()
                if (execution["Status"] == "SUCCEEDED") == has_succeeded}
            until(lambda: wanted <= told(name), 60, f"all that {name} is to be told")
            assert not told(name) - wanted, [(extra, found.get(extra)) for extra in told(name) - wanted]

    def check_versions(self, found):
        """Each training that succeeded has one version, and each version one such training."""
        published = {}
        for version in self.host.versions("model"):
            execution = version["Lineage"]["execution"]
            assert execution not in published, "published twice"
            published[execution] = version
        trained = {
            identifier for identifier, execution in found.items()
            if execution["FunctionName"] == "model-train" and execution["Status"] == "SUCCEEDED"}
        assert trained == set(published), (len(trained), len(published))
        for identifier, version in list(published.items())[-5:]:
            event = self.accepted.get(identifier)
            if event:
                answer = self.host.invoke("model", qualifier=version["Version"])
                assert answer.json == event["id"] * 1000

    def check_files(self):
        with sqlite3.connect(self.host.data_dir / "registry.sqlite") as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert db.execute("PRAGMA foreign_key_check").fetchall() == []
            models = {row[0] for row in db.execute("SELECT model FROM version WHERE model IS NOT NULL")}
        stored = {path.name for path in (self.host.data_dir / "artifacts" / "files").rglob("*") if path.is_file()}
        for name in stored:
            path = self.host.data_dir / "artifacts" / "files" / name[:2] / name
            assert hashlib.sha256(path.read_bytes()).hexdigest() == name, path
        assert models and models <= stored, "a version's model is not there, or none was ever published"


def figures(rounds, counts):
    return json.dumps({
        "sent": rounds.sent, "accepted": len(rounds.accepted), "removed": rounds.removed, "kills": rounds.kills,
        **counts})
