"""What workers really take: measured, shown, and reckoned with."""

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from roost_host import BINARY, FUNCTIONS, SLEEPER, RoostHost, until

# Keeps as many MB as it was told to, written to.
HOLDER = """
import time

held = []

def handler(event, context):
    if "hold" in event:
        held.append(bytearray(b"x") * (event["hold"] << 20))
    time.sleep(event.get("seconds", 0))
    return {}
"""

# The memory is a child's of its own.
PARENT = """
import subprocess, sys

def handler(event, context):
    subprocess.Popen([sys.executable, "-c", "b = bytearray(b'x') * (%d << 20); import time; time.sleep(60)" % event["hold"]])
    return {}
"""


ORDINARY = 12345  # a uid; no account of that number is needed


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with RoostHost(tmp_path_factory.mktemp("memory") / "data", {"memoryMegabytes": 1000}) as host:
        yield host


@pytest.fixture(scope="module", params=["bubblewrap", "no sandbox", "ordinary user"])
def any_host(request):
    user = None
    if request.param == "ordinary user":
        if os.geteuid() != 0:
            pytest.skip("only root can lend a host to another user; the others ran as an ordinary one")
        readable = subprocess.run(["test", "-x", BINARY], user=ORDINARY, group=ORDINARY, extra_groups=[])
        if readable.returncode != 0:
            pytest.skip(f"{BINARY} is out of reach for an ordinary user here")
        user = ORDINARY
    config = {"memoryMegabytes": 1000, "sandbox": "none" if request.param == "no sandbox" else "bubblewrap"}
    # Workers of another user must reach the data directory.
    with tempfile.TemporaryDirectory(prefix="roost-") as directory:
        os.chmod(directory, 0o755)
        with RoostHost(Path(directory) / "data", config, user=user) as host:
            yield host


def report(host):
    return json.loads(host.roost("ps", "--json"))


def delete(host, name):
    host.call("DELETE", f"{FUNCTIONS}/{name}")
    until(lambda: not host.workers(name))


def worker(host, name):
    found, = host.workers(name)
    return found


@pytest.mark.parametrize("source", [HOLDER, PARENT])
def test_what_a_worker_takes_is_measured_with_all_of_its_processes(any_host, source):
    host = any_host
    name = "holder" if source is HOLDER else "parent"
    host.create(name, source, memory=128)
    host.invoke(name, {"hold": 100})
    until(lambda: worker(host, name)["Measured"] and worker(host, name)["MemoryMegabytes"] >= 100, 15, "the measurement")
    shown = worker(host, name)
    # Python itself takes some.
    assert 100 <= shown["MemoryMegabytes"] < 160
    pools = report(host)["Pools"]
    pool, = [pool for pool in pools if pool["FunctionName"] == name]
    assert pool["MemoryMegabytes"] == shown["MemoryMegabytes"] and pool["DeclaredMegabytes"] == 128
    assert report(host)["Host"]["MemoryMegabytes"] == sum(pool["MemoryMegabytes"] for pool in pools)
    line, = re.findall(rf"^\d+ +{name}:.*$", host.roost("ps"), re.MULTILINE)
    assert line.endswith(f" {shown['MemoryMegabytes']} MB")
    delete(host, name)


def test_a_worker_that_takes_less_than_it_declares_leaves_room_for_others(host):
    """Three that declare 400 MB do not fit into 1000, but measured they do."""
    for name in ("one", "two", "three"):
        host.create(name, SLEEPER, memory=400)
    for name in ("one", "two", "three"):
        host.invoke(name)
        until(lambda: worker(host, name)["Measured"], 15, "the measurement")
        assert worker(host, name)["MemoryMegabytes"] < 60
    assert all(len(host.workers(name)) == 1 for name in ("one", "two", "three"))
    for name in ("one", "two", "three"):
        delete(host, name)


def test_a_worker_that_grows_beyond_the_budget_has_idle_ones_evicted(host):
    host.create("bystander", SLEEPER, memory=128)
    host.create("grower", HOLDER, memory=128, timeout=20)
    host.invoke("bystander")
    host.invoke("grower")
    until(lambda: worker(host, "bystander")["Measured"], 15)
    busy = host.in_background("grower", {"hold": 1000, "seconds": 8})
    until(lambda: not host.workers("bystander"), 20, "the eviction")
    assert busy.result(20).status == 200
    events = json.loads(host.roost("ps", "--events", "--json"))["Events"]
    stopped, = [event for event in events if event.get("FunctionName") == "bystander" and event["Event"] == "stopped"]
    assert stopped["Reason"] == "evicted, over the memory budget"
    delete(host, "grower")
