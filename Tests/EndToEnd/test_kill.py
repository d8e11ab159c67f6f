"""What was accepted is kept, whatever is killed when. `bench/kill` does the same a thousand times."""

import random
import subprocess

import pytest

from kill_rounds import FAULT_POINTS, Rounds, figures
from roost_host import FUNCTIONS, RoostHost, until

SEED = random.randrange(1_000_000)


@pytest.mark.parametrize("seed", [SEED])
def test_nothing_accepted_is_lost_and_nothing_published_twice(tmp_path, seed):
    rounds = Rounds(tmp_path, seed)
    try:
        rounds.prepare()
        for fault in FAULT_POINTS:
            rounds.round()
            rounds.round(fault)
        for _ in range(5):
            rounds.round()
        counts = rounds.settle()
    finally:
        if rounds.host.process is not None:
            rounds.host.kill9()
    print(f"seed {seed}: {figures(rounds, counts)}")
    assert len(rounds.accepted) > 50
    assert counts["SUCCEEDED"] > 0 and counts["FAILED"] > 0 and rounds.removed > 0


def test_an_unknown_fault_point_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ROOST_FAULT_POINT", "publish.somewhere")
    with pytest.raises(AssertionError, match="ROOST_FAULT_POINT is 'publish.somewhere'; allowed are accept.stored"):
        RoostHost(tmp_path / "data").start()


def test_a_full_disk_refuses_what_it_cannot_keep_and_loses_nothing(tmp_path):
    """The data directory is on a file system of 48 MB that fills up, and is then made larger."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "none", disk], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"NOT RUN: a small file system needs the right to mount one: {mounted.stderr.strip()}")
    try:
        with RoostHost(disk / "data", {"shutdownSeconds": 1}) as host:
            host.create("slow", "import time\ndef handler(event, context):\n    time.sleep(event['seconds'])\n    return 'done'\n",
                        reserved=1, timeout=60)
            accepted, refused = [], None
            event = {"seconds": 0.01, "ballast": "x" * 200_000}
            for _ in range(2000):
                answer = host.request(
                    "POST", f"{FUNCTIONS}/slow/invocations", event, {"X-Amz-Invocation-Type": "Event"})
                if answer.status != 202:
                    refused = answer
                    break
                accepted.append(answer.headers["X-Amz-Durable-Execution-Arn"].rsplit("/", 1)[1])
            assert refused is not None and refused.status in (500, 503, 507), refused
            assert "disk" in refused.body.decode().lower(), refused
            assert host.invoke("slow", {"seconds": 0}).json == "done", "what needs no disk goes on"
            subprocess.run(["mount", "-o", "remount,size=512m", disk], check=True)
            until(lambda: host.request(
                "POST", f"{FUNCTIONS}/slow/invocations", event, {"X-Amz-Invocation-Type": "Event"}).status == 202, 10)
            host.kill9()  # what could not be stored about running ones is resumed
            host.start()
            for identifier in accepted:
                assert host.finished(identifier, 60)["Status"] == "SUCCEEDED"
    finally:
        subprocess.run(["umount", "-l", disk], check=False)
