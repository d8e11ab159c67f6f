"""Why workers start and stop: in the log, in the metrics, and in `roost ps`."""

import json
import re

import pytest

from roost_host import SLEEPER, RoostHost, until

CRASHER = """
import os

def handler(event, context):
    if event.get("crash"):
        os._exit(3)
    return {}
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    # Room for one of the large ones.
    with RoostHost(tmp_path_factory.mktemp("explain") / "data", {"memoryMegabytes": 1000}) as host:
        yield host


def events(host, name):
    return [event for event in json.loads(host.roost("ps", "--events", "-n", 1000, "--json"))["Events"]
            if event.get("FunctionName") == name]


def told(host, name):
    return [(event["Event"], event.get("Cause") or event.get("Reason")) for event in events(host, name)]


def cause(host, name, event=None):
    """Of the cold start of one more invocation, which its REPORT line in the log has."""
    answer = host.invoke(name, event or {})
    assert answer.status == 200 and answer.is_cold, answer
    request = answer.headers["x-amzn-RequestId"]
    line = until(lambda: next((text for *_, of, text in host.log(name) if of == request and "REPORT" in text), None))
    return re.search(r"\tInit Duration: [\d.]+ ms\tStart Cause: ([^\t]+)\t$", line)[1]


def cold_starts(host, name):
    """{cause: count}, of the metrics."""
    text = host.request("GET", "/metrics").body.decode()
    return {why: int(count) for why, count in re.findall(
        rf'^roost_cold_starts_total{{function="{name}",cause="([^"]+)"}} (\d+)$', text, re.MULTILINE)}


def test_each_cold_start_has_its_cause(host):
    host.create("why", CRASHER, keep_alive=1)
    assert cause(host, "why") == "first"
    until(lambda: not host.workers("why"))
    assert cause(host, "why") == "keep-alive passed"
    assert cold_starts(host, "why") == {"first": 1, "keep-alive passed": 1}
    assert told(host, "why")[:5] == [
        ("started", "first"), ("ready", None), ("stopped", "keep-alive passed"),
        ("started", "keep-alive passed"), ("ready", None)]

    host.create("fragile", CRASHER)
    assert cause(host, "fragile") == "first"
    assert host.invoke("fragile", {"crash": True}).function_error == "Unhandled"
    assert cause(host, "fragile") == "crash"
    # Its worker starts with the update, and is not ready when the call comes.
    host.update_code("fragile", CRASHER + "\nimport time\ntime.sleep(1)\n")
    assert cause(host, "fragile") == "redeploy"
    assert cold_starts(host, "fragile") == {"first": 1, "crash": 1, "redeploy": 1}
    assert told(host, "fragile") == [
        ("started", "first"), ("ready", None), ("crashed", "exit status 3"), ("started", "crash"), ("ready", None),
        ("started", "redeploy"), ("stopped", "not needed any more"), ("ready", None)]


def test_more_workers_of_a_busy_function_are_a_scale_up(host):
    host.create("busy", SLEEPER, reserved=2)
    host.invoke("busy")
    first = host.in_background("busy", {"seconds": 2})
    until(lambda: host.workers("busy", "busy"))
    assert cause(host, "busy") == "scale-up"
    first.result(10)


def test_an_eviction_names_for_whom_and_the_next_start_that_it_was_one(host):
    host.create("left", SLEEPER, memory=600)
    host.create("right", SLEEPER, memory=600)
    assert cause(host, "left") == "first"
    pid, = host.worker_pids("left")
    shown = json.loads(host.roost("ps", "--json"))
    assert shown["Host"]["MemoryMegabytesMax"] == 1000
    assert cause(host, "right") == "first"
    stopped, = [event for event in events(host, "left") if event["Event"] == "stopped"]
    assert stopped["Reason"] == "evicted" and stopped["For"] == "right:$LATEST"
    assert cause(host, "left") == "evicted"


def test_a_failed_init_is_an_event_with_the_type_of_its_error(host):
    host.create("broken", "import nothing_of_that_name\n")
    assert host.invoke("broken").function_error
    started, failed = events(host, "broken")
    assert started["Event"] == "started" and failed["Event"] == "init failed"
    assert failed["Reason"] == "Runtime.ImportModuleError"
    assert failed["Worker"] == started["Worker"]


def test_who_is_evicted_next_is_who_is_evicted_next(host):
    """Of idle workers that are used equally often, the larger is worth less for each of its MB."""
    host.create("small", SLEEPER, memory=128)
    host.create("large", SLEEPER, memory=500)
    for name in ("small", "large"):
        host.invoke(name)
    next_one = json.loads(host.roost("ps", "--json"))["NextEviction"]
    worker = next_one["Worker"]
    name = next_one["FunctionName"]
    assert any(of["Id"] == worker and of["State"] == "idle" for of in host.workers(name))
    terms = next_one["UsesPerDay"] * next_one["ColdCostSeconds"] / (next_one["MemoryMegabytes"] / 1024)
    assert next_one["Priority"] == pytest.approx(next_one["Clock"] + terms)
    assert f"evicted next: worker {worker} of {name}:$LATEST" in host.roost("ps")
    host.create("needy", SLEEPER, memory=900)
    host.invoke("needy")
    stopped = [event for event in json.loads(host.roost("ps", "--events", "--json"))["Events"]
               if event.get("For") == "needy:$LATEST"]
    assert stopped[0]["Worker"] == worker


def test_the_table_of_events_ends_with_the_newest(host):
    host.create("last", SLEEPER)
    host.invoke("last")
    lines = host.roost("ps", "--events").splitlines()
    assert lines[0].split() == ["WHEN", "EVENT", "OF", "WORKER", "WHY"]
    assert re.search(r"ready +last:\$LATEST +\d+ +cold start [\d.]+ s$", lines[-1])
    assert lines[-2].endswith("first") and "started" in lines[-2]
    assert len(host.roost("ps", "--events", "-n", 1).splitlines()) == 2
    for arguments in (["--lines", "3"], ["--events", "-n", "0"], ["--events", "-n", "1001"]):
        assert host.roost("ps", *arguments, check=False) == ""
