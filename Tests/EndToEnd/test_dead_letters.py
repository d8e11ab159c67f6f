"""Executions that failed: run again, and deleted when their time is over."""

import json
import sqlite3

import pytest

from roost_host import RoostHost, until

FRAGILE = """
def handler(event, context):
    if event["fail"]:
        raise ValueError("as asked")
    return "well"
"""
REPAIRED = "def handler(event, context): return 'repaired ' + str(event['number'])\n"


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with RoostHost(tmp_path_factory.mktemp("dead") / "data", {"retryDelaysSeconds": []}) as host:
        yield host


def test_what_failed_runs_again_as_what_the_function_is_now_and_once(host):
    host.create("fragile", FRAGILE)
    failed = [host.start_execution("fragile", {"fail": True, "number": number}) for number in range(3)]
    well = host.start_execution("fragile", {"fail": False})
    for identifier in failed:
        assert host.finished(identifier)["Status"] == "FAILED"
    assert host.finished(well)["Status"] == "SUCCEEDED"
    host.update_code("fragile", REPAIRED)

    lines = host.roost("executions", "redrive", failed[0]).splitlines()
    assert lines[0].startswith(f"{failed[0]} runs again as ")
    again = lines[0].split()[-1]
    finished = host.finished(again)
    assert (finished["Status"], json.loads(finished["Result"])) == ("SUCCEEDED", "repaired 0")
    assert host.roost("executions", "redrive", failed[0]).split()[-1] == again, "it is not run twice"
    assert "redriven" in host.kinds(failed[0])

    answers = json.loads(host.roost("executions", "redrive", "--function", "fragile", "--json"))
    assert [answer["IsNew"] for answer in answers] == [False, True, True]
    for number, answer in enumerate(answers):
        assert json.loads(host.finished(answer["Id"])["Result"]) == f"repaired {number}"
    # It survives the host, as everything that was accepted.
    host.kill9()
    host.start()
    assert host.roost("executions", "redrive", failed[1]).split()[-1] == answers[1]["Id"]


def test_what_has_not_failed_is_not_redriven(host):
    host.create("fine", FRAGILE)
    well = host.start_execution("fine", {"fail": False})
    host.finished(well)
    answer = host.request("POST", f"/roost/v1/executions/{well}/redrive", {})
    assert answer.status == 409 and "its status is SUCCEEDED" in answer.body.decode()
    assert host.request("POST", "/roost/v1/executions/nothing/redrive", {}).status == 404
    assert "none has failed" in host.roost("executions", "redrive", "--function", "fine")
    with pytest.raises(AssertionError, match="2 .*name executions, or a function"):
        host.roost("executions", "redrive")


def test_what_ended_long_ago_is_deleted(tmp_path):
    with RoostHost(tmp_path / "data", {"executionRetentionDays": 2}) as host:
        host.create("work", FRAGILE)
        old, new = (host.start_execution("work", {"fail": False}) for _ in range(2))
        for identifier in (old, new):
            host.finished(identifier)
        host.stop()
        with sqlite3.connect(host.data_dir / "registry.sqlite") as db:
            db.execute("UPDATE execution SET endedAt = endedAt - 3 * 86400000 WHERE id = ?", [old])
        host.start()
        until(lambda: host.request("GET", f"/roost/v1/executions/{old}").status == 404, 10, "its deletion")
        assert host.execution(new)["Status"] == "SUCCEEDED"
        host.stop()
        with sqlite3.connect(host.data_dir / "registry.sqlite") as db:
            for table in ("execution", "executionInput", "executionResult"):
                assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (1,), table
        host.start()


def test_the_highest_priority_of_a_function_comes_first_also_after_a_kill(tmp_path):
    with RoostHost(tmp_path / "data", {"trainingConcurrency": 1}) as host:
        host.create("m", FRAGILE)
        host.create("m-train", """
import os, time
def handler(event, context):
    time.sleep(event["seconds"])
    open(os.environ["ROOST_OUTPUT_DIR"] + "/model", "w").write(event["id"])
""", environment={"ROOST_TRAINS": "m"}, timeout=60)

        def train(name, seconds, *options):
            arn = host.roost("invoke", "m-train", "--async", "-d", json.dumps({"id": name, "seconds": seconds}), *options)
            return arn.strip().rsplit("/", 1)[1]

        first = train("first", 2)
        host.running(first)
        ordinary = [train(f"o{number}", 0) for number in range(2)]
        host.kill9()
        host.start()
        urgent = train("urgent", 0, "--priority=50")
        assert host.execution(urgent)["Priority"] == 50
        ends = [host.finished(identifier, 30) for identifier in (first, urgent, *ordinary)]
        assert [end["Status"] for end in ends] == ["SUCCEEDED"] * 4
        assert sorted(ends, key=lambda end: end["StartedAt"]) == ends
        assert host.request(
            "POST", "/2015-03-31/functions/m-train/invocations", {}, {
                "X-Amz-Invocation-Type": "Event", "Roost-Priority": "101"}).status == 400
