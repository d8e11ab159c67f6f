"""Pausing, resuming, stopping and deleting executions."""

import json
import time

import pytest

from roost_host import RoostHost, until

SLOW = """
import time
def handler(event, context):
    time.sleep(event.get("seconds", 0))
    if event.get("fail"):
        raise ValueError("as asked")
    return {"ran": event}
"""

# Counts up in its checkpoint folder, and writes down how it was told to end.
TRAINER = """
import os, pathlib, signal, sys, time

def handler(event, context):
    folder = pathlib.Path(os.environ["ROOST_CHECKPOINT_DIR"])
    file = folder / "count"
    count = int(file.read_text()) if file.exists() else 0
    def told(*_):
        (folder / "told").write_text(str(count))
        sys.exit(0)
    signal.signal(signal.SIGTERM, told)
    while count < event["until"]:
        count += 1
        file.write_text(str(count))
        if count >= event.get("waitAt", 10**9) and not (folder / "told").exists():
            time.sleep(60)
    told_at = (folder / "told").read_text() if (folder / "told").exists() else None
    pathlib.Path(os.environ["ROOST_OUTPUT_DIR"], "model").write_text(str(count))
    return {"count": count, "told": told_at}
"""


@pytest.fixture
def host(tmp_path):
    with RoostHost(tmp_path / "data", {"retryDelaysSeconds": [0.2, 0.2], "stopGraceSeconds": 1}) as host:
        yield host


def arn(host, id):
    return host.execution(id)["ExecutionArn"]


def status(host, id):
    return host.execution(id)["Status"]


def test_what_waits_is_paused_at_once_and_runs_when_it_is_resumed(host):
    client = host.boto3()
    host.create("f", SLOW)
    host.reserve("f", 1)
    first = host.start_execution("f", {"seconds": 1})
    host.running(first)
    second = host.start_execution("f", {"n": 2})
    client.pause_durable_execution(DurableExecutionArn=arn(host, second), Reason="not now", ClientToken="t1")
    described = client.get_durable_execution(DurableExecutionArn=arn(host, second))
    assert described["Status"] == "PAUSED" and "EndTimestamp" not in described
    assert described["PauseDetails"]["Reason"] == "not now" and described["PauseDetails"]["ExecutionTimeoutPaused"]
    # The same request again is no error, another one is.
    client.pause_durable_execution(DurableExecutionArn=arn(host, second), Reason="not now", ClientToken="t1")
    with pytest.raises(client.exceptions.ResourceConflictException):
        client.pause_durable_execution(DurableExecutionArn=arn(host, second))
    listed = client.list_durable_executions_by_function(FunctionName="f", Statuses=["PAUSED"])
    assert [e["DurableExecutionArn"] for e in listed["DurableExecutions"]] == [arn(host, second)]
    assert host.finished(first)["Status"] == "SUCCEEDED"
    assert status(host, second) == "PAUSED"
    client.resume_durable_execution(DurableExecutionArn=arn(host, second), ClientToken="t2")
    client.resume_durable_execution(DurableExecutionArn=arn(host, second), ClientToken="t2")
    # A late repetition of the pause does not pause again.
    client.pause_durable_execution(DurableExecutionArn=arn(host, second), Reason="not now", ClientToken="t1")
    ended = host.finished(second)
    assert ended["Status"] == "SUCCEEDED" and ended["Attempt"] == 1
    with pytest.raises(client.exceptions.ResourceConflictException):
        client.resume_durable_execution(DurableExecutionArn=arn(host, second))
    with pytest.raises(client.exceptions.ResourceConflictException):
        client.pause_durable_execution(DurableExecutionArn=arn(host, second))
    history = client.get_durable_execution_history(DurableExecutionArn=arn(host, second))["Events"]
    types = [event["EventType"] for event in history]
    assert types == ["ExecutionStarted", "ExecutionPaused", "ExecutionResumed", "InvocationCompleted",
                     "ExecutionSucceeded"]
    assert history[1]["ExecutionPausedDetails"]["Reason"] == {"Payload": "not now", "Truncated": False}


def test_an_attempt_that_runs_is_finished_and_its_retry_is_paused(host):
    host.create("f", SLOW, timeout=60)
    id = host.start_execution("f", {"seconds": 1, "fail": True})
    host.running(id)
    host.roost("executions", "pause", id, "--reason", "later")
    assert status(host, id) == "PAUSING"
    until(lambda: status(host, id) == "PAUSED")
    assert host.failures(id) == 1
    assert "PAUSED" in host.roost("executions", "ls")
    time.sleep(0.5)  # past the retry's time
    assert status(host, id) == "PAUSED"
    host.roost("executions", "resume", id)
    ended = host.finished(id, 30)
    assert ended["Status"] == "FAILED" and ended["Attempt"] == 3 and host.failures(id) == 3


def test_a_pause_that_comes_too_late_or_is_taken_back_costs_no_attempt(host):
    host.create("f", SLOW, timeout=60)
    late = host.start_execution("f", {"seconds": 1})
    host.running(late)
    host.call("POST", f"/roost/v1/executions/{late}/pause", {})
    back = host.start_execution("f", {"seconds": 2, "fail": True})
    host.running(back)
    host.call("POST", f"/roost/v1/executions/{back}/pause", {})
    host.call("POST", f"/roost/v1/executions/{back}/resume", {})
    assert status(host, back) == "RUNNING"
    ended = host.finished(late)
    assert ended["Status"] == "SUCCEEDED" and ended["Attempt"] == 1
    ended = host.finished(back, 30)
    assert ended["Attempt"] == 3 and host.failures(back) == 3


def test_a_training_goes_on_from_its_checkpoint_also_after_the_host_was_killed(host):
    host.create("base", SLOW)
    host.create("base-train", TRAINER, handler="index.handler", timeout=600, environment={"ROOST_TRAINS": "base"})
    id = host.start_execution("base-train", {"until": 30, "waitAt": 10})
    host.running(id)
    until(lambda: host.worker_pids("base-train"))
    time.sleep(0.5)  # the function counts by itself, without a sign
    host.call("POST", f"/roost/v1/executions/{id}/pause", {})
    until(lambda: status(host, id) == "PAUSED")
    host.kill9()
    host.start()
    assert status(host, id) == "PAUSED"
    host.call("POST", f"/roost/v1/executions/{id}/resume", {})
    ended = host.finished(id, 30)
    assert ended["Status"] == "SUCCEEDED", ended
    assert json.loads(ended["Result"]) == {"count": 30, "told": "10"}
    assert ended["PublishedVersion"] == 1


def test_it_is_pausing_until_its_worker_has_gone_and_may_be_resumed_before(host):
    host.create("base", SLOW)
    stubborn = """
import os, pathlib, signal, time
def handler(event, context):
    folder = pathlib.Path(os.environ["ROOST_CHECKPOINT_DIR"])
    runs = len(list(folder.iterdir()))
    (folder / str(runs)).write_text("")
    if runs == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(30)
    (pathlib.Path(os.environ["ROOST_OUTPUT_DIR"]) / "model").write_text("x")
    return runs
"""
    host.create("base-train", stubborn, timeout=600, environment={"ROOST_TRAINS": "base"})
    id = host.start_execution("base-train", {})
    host.running(id)
    time.sleep(1)
    host.call("POST", f"/roost/v1/executions/{id}/pause", {})
    assert status(host, id) == "PAUSING"
    old = host.worker_pids("base-train")
    host.call("POST", f"/roost/v1/executions/{id}/resume", {})
    assert status(host, id) == "QUEUED"
    ended = host.finished(id, 30)
    assert ended["Status"] == "SUCCEEDED" and ended["Result"] == "1" and ended["Attempt"] == 2
    assert old and not set(old) & set(host.worker_pids("base-train"))
    starts = [e["At"] for e in host.events(id) if e["Kind"] == "attemptStarted"]
    # The second before the pause, and stopGraceSeconds.
    assert starts[1] - starts[0] > 2


def test_a_paused_execution_can_be_stopped_with_an_error_and_then_deleted(host):
    client = host.boto3()
    host.create("f", SLOW, timeout=60)
    id = host.start_execution("f", {"seconds": 50})
    host.running(id)
    with pytest.raises(client.exceptions.ResourceConflictException):
        client.delete_durable_execution(DurableExecutionArn=arn(host, id))
    host.call("POST", f"/roost/v1/executions/{id}/pause", {})
    error = {"ErrorType": "Budget", "ErrorMessage": "spent", "ErrorData": "{\"a\":1}", "StackTrace": ["x", "y"]}
    name = arn(host, id)
    client.stop_durable_execution(DurableExecutionArn=name, Error=error)
    found = client.get_durable_execution(DurableExecutionArn=name)
    assert found["Status"] == "STOPPED" and found["Error"] == error and "PauseDetails" not in found
    last = client.get_durable_execution_history(DurableExecutionArn=name)["Events"][-1]
    assert last["ExecutionStoppedDetails"]["Error"]["Payload"] == error
    answer = client.delete_durable_execution(DurableExecutionArn=name)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202 and answer["DeletionRequestTimestamp"].year >= 2024
    for call in (client.get_durable_execution, client.delete_durable_execution):
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            call(DurableExecutionArn=name)
    other = host.start_execution("f", {})
    host.finished(other)
    host.roost("executions", "rm", other)
    assert host.request("GET", f"/roost/v1/executions/{other}").status == 404
    operations = [e["Operation"] for e in host.call("GET", "/roost/v1/audit")["Entries"]]
    assert operations[:4] == ["DeleteDurableExecution", "DeleteDurableExecution", "StopDurableExecution",
                              "PauseDurableExecution"]


def test_what_is_said_of_a_pause_is_checked(host):
    client = host.boto3()
    host.create("f", SLOW, timeout=60)
    id = host.start_execution("f", {"seconds": 20})
    host.running(id)
    for body, message in (({"Reason": "r" * 1025}, "reason"), ({"ClientToken": "a b"}, "clientToken"),
                          ({"ExecutionTimeoutPaused": False}, "ExecutionTimeoutPaused"), ({"More": 1}, "More")):
        name = arn(host, id).replace("/", "%2F")
        answer = host.request("POST", f"/2025-12-01/durable-executions/{name}/pause", body)
        assert answer.status == 400 and message in answer.json["message"]
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.pause_durable_execution(DurableExecutionArn=arn(host, id)[:-4] + "0000")
    assert status(host, id) == "RUNNING"
    client.pause_durable_execution(DurableExecutionArn=arn(host, id), ExecutionTimeoutPaused=True)
    assert status(host, id) == "PAUSING"
