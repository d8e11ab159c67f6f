"""What callers see of the scheduler: fairness, refusals by the predicted wait, workers for the version that takes over,
and pauses while workers crash."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from roost_host import RoostHost, until

SLEEP = "import time\ndef handler(event, context):\n    time.sleep(event['seconds'])\n    return event\n"


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with RoostHost(tmp_path_factory.mktemp("scheduling") / "data") as host:
        yield host


def ready(host, name, version="$LATEST"):
    return [worker for pool in host.pools(name) if pool["Version"] == version for worker in pool["Workers"]
            if worker["State"] in ("idle", "busy")]


def test_a_burst_of_one_function_does_not_starve_another(tmp_path):
    with RoostHost(tmp_path / "data", {"workersMax": 4}) as host, ThreadPoolExecutor(64) as pool:
        for name in ("greedy", "modest"):
            host.create(name, SLEEP)
        burst = [pool.submit(host.invoke, "greedy", {"seconds": 0.25}) for _ in range(60)]
        until(lambda: len(ready(host, "greedy")) == 4, 10, "the burst to take all places")
        begin = time.monotonic()
        first = host.invoke("modest", {"seconds": 0})
        waited = time.monotonic() - begin
        assert first.status == 200 and not first.function_error
        assert sum(call.done() for call in burst) < 60, "it did not have to wait for the whole burst"
        assert all(call.result().status == 200 for call in burst)
    # One call of the burst's, and a cold start; a burst alone takes 60 * 0.25 / 4 = 3.75 s.
    print(f"waited {waited:.2f} s, of which {first.timing}")


def test_who_cannot_be_served_in_time_is_refused_at_once_and_told_when_to_come_back(tmp_path):
    with RoostHost(tmp_path / "data", {"queueWaitSeconds": 2}) as host:
        host.create("slow", SLEEP, reserved=1)
        assert host.invoke("slow", {"seconds": 1}).status == 200
        with ThreadPoolExecutor(8) as pool:
            calls = []
            for number in range(4):  # the fourth would wait for 3 s
                calls.append(pool.submit(host.invoke, "slow", {"seconds": 1}))
                time.sleep(0.05)
            refused = calls[3].result()
            assert refused.seconds < 0.5
            assert refused.status == 429
            assert refused.json["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
            assert "would wait for 2." in refused.json["Detail"] and "may wait for 2.0 s" in refused.json["Detail"]
            assert refused.headers["Retry-After"] == "1"
            time.sleep(1)
            assert host.invoke("slow", {"seconds": 0}).status == 200
            assert [call.result().status for call in calls[:3]] == [200] * 3


def test_after_a_redeploy_the_new_code_has_a_worker_before_anybody_calls(host):
    host.create("fresh", "def handler(event, context): return 1\n")
    assert host.invoke("fresh").json == 1
    host.update_code("fresh", "def handler(event, context): return 2\n")
    until(lambda: len(ready(host, "fresh")) == 1 and len(host.pools("fresh")) == 1, 10, "the new worker")
    answer = host.invoke("fresh")
    assert answer.json == 2
    assert not answer.is_cold


def test_after_an_alias_moves_its_new_version_has_a_worker_before_anybody_calls(host):
    host.create("aliased", "def handler(event, context): return 1\n", publish=True)
    host.set_alias("aliased", "live", 1)
    assert host.invoke("aliased", qualifier="live").json == 1
    host.update_code("aliased", "def handler(event, context): return 2\n", publish=True)
    assert not ready(host, "aliased", "2"), "nobody calls it"
    host.set_alias("aliased", "live", 2)
    until(lambda: ready(host, "aliased", "2"), 10, "the new version's worker")
    answer = host.invoke("aliased", qualifier="live")
    assert answer.json == 2
    assert not answer.is_cold
    host.rollback("aliased", "live")
    assert ready(host, "aliased", "1"), "the old one's is still there"
    assert not host.invoke("aliased", qualifier="live").is_cold


def test_a_function_that_sleeps_is_not_woken_by_a_redeploy(host):
    host.create("asleep", "def handler(event, context): return 1\n", keep_alive=1)
    host.invoke("asleep")
    until(lambda: not host.workers("asleep"), 10)
    host.update_code("asleep", "def handler(event, context): return 2\n")
    time.sleep(0.5)
    assert not host.workers("asleep")


def test_new_code_that_does_not_start_tells_its_first_caller_why(host):
    host.create("broken", "def handler(event, context): return 1\n")
    host.invoke("broken")
    host.update_code("broken", "import missing_module\n")
    until(lambda: not host.workers("broken"), 10, "the failure of the worker that was started ahead")
    answer = host.invoke("broken")
    assert answer.function_error == "Unhandled"
    assert "missing_module" in answer.json["errorMessage"]


def test_starts_pause_while_workers_crash_one_after_the_other(host):
    host.create("crashing", "import os\ndef handler(event, context):\n    if event['crash']: os._exit(1)\n    return 'well'\n")
    answers = [host.invoke("crashing", {"crash": True}) for _ in range(21)]
    assert [answer.status for answer in answers] == [200] * 20 + [429]
    assert answers[20].headers["Retry-After"] == "1"
    time.sleep(1.1)
    assert host.invoke("crashing", {"crash": False}).json == "well"
    assert host.invoke("crashing", {"crash": True}).status == 200
    assert host.invoke("crashing", {"crash": False}).json == "well"
