"""What workers really take: measured, shown, and reckoned with."""

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from roost_host import BINARY, FUNCTIONS, SLEEPER, RoostHost, ordinary_user, until

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


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with RoostHost(tmp_path_factory.mktemp("memory") / "data", {"memoryMegabytes": 1000}) as host:
        yield host


@pytest.fixture(scope="module", params=["bubblewrap", "no sandbox", "ordinary user"])
def any_host(request):
    user = ordinary_user() if request.param == "ordinary user" else None
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


# MARK: - pressure

def pressure(some):
    return f"some avg10={some:.2f} avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"


def test_memory_pressure_lowers_the_budget_and_has_idle_workers_evicted(tmp_path):
    file = tmp_path / "pressure"
    file.write_text(pressure(1))
    with RoostHost(tmp_path / "data", {"memoryMegabytes": 1000, "memoryPressure": str(file)}) as host:
        for name in ("first", "second"):
            host.create(name, HOLDER, memory=300)
            host.invoke(name, {"hold": 200})
        until(lambda: all(worker(host, name)["Measured"] for name in ("first", "second")), 15, "the measurements")
        used = report(host)["Host"]["MemoryMegabytes"]
        assert report(host)["Host"]["MemoryMegabytesBudget"] == 1000
        assert host.metric("roost_memory_budget_bytes") == host.metric("roost_memory_limit_bytes") == 1000 << 20
        file.write_text(pressure(50))
        host.invoke("second")
        until(lambda: not (host.workers("first") and host.workers("second")), 15, "the eviction")
        totals = report(host)["Host"]
        assert totals["MemoryMegabytesBudget"] <= used * 9 / 10 + 1 and totals["MemoryMegabytesMax"] == 1000
        assert host.metric("roost_memory_budget_bytes") == totals["MemoryMegabytesBudget"] << 20
        assert f"of {totals['MemoryMegabytesBudget']} MB, lowered by memory pressure from 1000 MB" in host.roost("ps")
        events = json.loads(host.roost("ps", "--events", "--json"))["Events"]
        lowered = next(event for event in events if event["Event"] == "memory budget")
        assert lowered["MegabytesBefore"] == 1000 and lowered["Megabytes"] == used - used // 10
        stopped = next(event for event in events if event["Event"] == "stopped")
        assert stopped["Reason"] == "evicted, over the memory budget"
        assert re.search(r"memory budget +- +- +\d+ MB, before 1000 MB\n", host.roost("ps", "--events"))
        # It still serves.
        assert host.invoke("first").status == host.invoke("second").status == 200


def test_a_file_that_is_no_pressure_is_refused_at_start(tmp_path):
    (tmp_path / "other").write_text("nothing of that form\n")
    for path in (tmp_path / "other", tmp_path / "missing"):
        (tmp_path / "settings.json").write_text(json.dumps({"memoryPressure": str(path)}))
        done = subprocess.run(
            [BINARY, "serve", "--listen", "127.0.0.1:0", "--config", "settings.json"], cwd=tmp_path,
            capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and str(path) in done.stderr and "memoryPressure" in done.stderr


def test_doctor_says_where_memory_pressure_is_read(host, tmp_path):
    def detail(of):
        checks = json.loads(of.roost("doctor", "--json", check=False))["Checks"]
        found, = [check for check in checks if check["Name"] == "host: memory pressure"]
        assert found["Ok"]
        return found["Detail"]

    assert ("/proc/pressure/memory" if os.path.exists("/proc/pressure/memory") else "PSI") in detail(host)
    with RoostHost(tmp_path / "data", {"memoryPressure": "off"}) as other:
        assert "off" in detail(other)
