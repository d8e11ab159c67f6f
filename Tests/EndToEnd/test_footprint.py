"""What an idle host costs: memory, and being woken."""

import subprocess
import time
from pathlib import Path

import pytest

from roost_host import SLEEPER, RoostHost, until

MIB = 1 << 20


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with RoostHost(tmp_path_factory.mktemp("footprint") / "data") as host:
        yield host


def memory(pid):
    """{"Rss": bytes, "Anonymous": bytes, ...} of a process."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {line.split(":")[0]: int(line.split()[1]) << 10 for line in text.splitlines()[1:]}


def switches(pid):
    """How often the process's threads went to sleep; each time something woke them again."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                total += int(line.split()[1])
    return total


def check_memory(host, record_property, when):
    used = memory(host.pid)
    record_property("rss_mib", round(used["Rss"] / MIB, 1))
    record_property("anonymous_mib", round(used["Anonymous"] / MIB, 1))
    print(f"{when}: RSS {used['Rss'] / MIB:.1f} MiB, anonymous {used['Anonymous'] / MIB:.1f} MiB")
    assert used["Anonymous"] < 15 * 1000 * 1000
    assert used["Rss"] < 45 * 1000 * 1000


def test_a_new_host_is_small(host, record_property):
    check_memory(host, record_property, "new host")


def check_wakeups(host, record_property, seconds=10):
    before = switches(host.pid)
    time.sleep(seconds)  # the measurement itself
    count = switches(host.pid) - before
    record_property("wakeups_in_10_s", count)
    print(f"{count} wake-ups in {seconds} s")
    assert count <= seconds, f"{count} wake-ups in {seconds} s"


def test_an_idle_host_with_an_idle_worker_and_a_connection_is_not_woken(host, record_property):
    host.create("idle", SLEEPER)
    for _ in range(200):
        assert host.invoke("idle").status == 200
    assert len(host.workers("idle", "idle")) == 1
    # What the last request left to be done (its log line, a timer of the registry).
    until(lambda: quiet(host.pid), 5, "the end of what the last request caused")
    check_wakeups(host, record_property)


def quiet(pid):
    before = switches(pid)
    time.sleep(0.5)
    return switches(pid) == before


def test_a_host_that_has_worked_and_is_idle_again_is_small(host, record_property):
    host.create("burst", SLEEPER, reserved=4, keep_alive=1)
    answers = host.invoke_all("burst", [{}] * 64)
    assert {a.status for a in answers} == {200}
    big = {"text": "x" * 4_000_000}
    host.create("big", "def handler(event, context): return event\n", keep_alive=1)
    for _ in range(4):
        assert host.invoke("big", big).json == big
    until(lambda: not host.workers("big") and not host.workers("burst"), 10)
    check_memory(host, record_property, "after 64 calls at once and 4 MB bodies")


def test_the_memory_of_a_burst_of_large_bodies_is_given_back(tmp_path):
    with RoostHost(tmp_path / "data") as host:
        host.create("big", "def handler(event, context): return event\n", reserved=4)
        answers = host.invoke_all("big", [{"text": "x" * 5_000_000}] * 24)
        assert {(a.status, len(a.body)) for a in answers} == {(200, 5_000_012)}
        until(lambda: memory(host.pid)["Anonymous"] < 15 * 1000 * 1000, 5, "the return of the memory")


def test_a_client_that_sends_nothing_and_one_that_reads_nothing_cost_little(host):
    import socket

    before = memory(host.pid)["Rss"]
    sockets = [socket.create_connection(("127.0.0.1", host.port)) for _ in range(100)]
    for number, connection in enumerate(sockets):
        if number % 2:
            connection.sendall(b"POST /2015-03-31/functions/idle/invocations HTTP/1.1\r\nHost: local")
    assert host.invoke("idle").status == 200
    assert memory(host.pid)["Rss"] - before < 8 * MIB
    for connection in sockets:
        connection.close()
    assert host.invoke("idle").status == 200
