"""Clients that race with each other, and with an execution's end: whatever comes first is the truth, and everybody says so."""

import json
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from roost_host import FUNCTIONS, RoostHost, until

WORK = """
import time
def handler(event, context):
    time.sleep(event["seconds"])
    return "done"
"""
TRAINING = """
import os, time
def infer(event, context):
    return "here"
def train(event, context):
    time.sleep(event["seconds"])
    with open(os.environ["ROOST_OUTPUT_DIR"] + "/model", "w") as file:
        file.write(str(event["number"]))
    return {}
"""
GOOD, BAD = "arn:aws:s3:::good", "arn:aws:s3:::bad"


@pytest.fixture
def host(tmp_path):
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
    settings = {
        "trainingConcurrency": 4, "stopGraceSeconds": 1, "memoryMegabytes": 65536,
        "destinations": {GOOD: {"directory": str(tmp_path / "good")}, BAD: {"directory": str(tmp_path / "bad")}}}
    with RoostHost(tmp_path / "data", settings) as host:
        host.create("work", WORK)
        host.create("model", TRAINING, handler="index.infer", publish=True)
        host.create("model-train", TRAINING, handler="index.train", environment={"ROOST_TRAINS": "model"}, timeout=60)
        for name in ("work", "model-train"):
            host.boto3().put_function_event_invoke_config(FunctionName=name, DestinationConfig={
                "OnSuccess": {"Destination": GOOD}, "OnFailure": {"Destination": BAD}})
        yield host


def told(host, name):
    return {file.removesuffix(".json") for file in os.listdir(host.data_dir.parent / name) if not file.startswith(".")}


def stop(host, identifier):
    answer = host.request("POST", f"/roost/v1/executions/{identifier}/stop", {})
    assert answer.status == 200, answer
    return answer.json["StopTimestamp"]


def race(host, start, count, width, least, most):
    """Starts executions, and stops each by two clients after a time around that of its end. {id: the clients' answers}"""
    def one(number):
        identifier = start(number)
        until(lambda: host.execution(identifier)["Status"] != "QUEUED")
        # Some surely too early, some surely too late, the others about when it ends.
        time.sleep({0: 0, 1: most * 3}.get(number, random.uniform(least, most)))
        with ThreadPoolExecutor(2) as clients:
            return identifier, list(clients.map(lambda _: stop(host, identifier), range(2)))

    with ThreadPoolExecutor(width) as pool:
        return dict(pool.map(one, range(count)))


def check(host, stops):
    """Everything that can be asked says the same of each. The statuses by id."""
    client = host.boto3()
    statuses = {}
    listed = {e["Id"]: e for e in host.call("GET", "/roost/v1/executions?limit=1000")["Executions"]}
    for identifier, answers in stops.items():
        execution = host.execution(identifier)
        status = statuses[identifier] = execution["Status"]
        assert status in ("SUCCEEDED", "STOPPED")
        assert listed[identifier]["Status"] == status and listed[identifier]["EndedAt"] == execution["EndedAt"]
        assert answers == [execution["EndedAt"]] * 2, "both clients are told when it ended"
        ends = [event["Detail"]["status"] for event in host.events(identifier) if event["Kind"] == "ended"]
        assert ends == [status]
        got = client.get_durable_execution(DurableExecutionArn=execution["ExecutionArn"])
        assert got["Status"] == status and ("Result" in got) == (status == "SUCCEEDED")
        assert ("Result" in execution) == (status == "SUCCEEDED") and ("Error" in execution) == (status == "STOPPED")
        history = client.get_durable_execution_history(DurableExecutionArn=execution["ExecutionArn"])["Events"]
        assert [event["EventType"] for event in history if event["EventType"].startswith("Execution")][1:] == [
            "ExecutionSucceeded" if status == "SUCCEEDED" else "ExecutionStopped"]
    good, bad = ({i for i, status in statuses.items() if status == wanted} for wanted in ("SUCCEEDED", "STOPPED"))
    assert good and bad, "some were stopped, and some were not"
    until(lambda: good <= told(host, "good") and bad <= told(host, "bad"))
    assert not told(host, "good") & told(host, "bad")
    return statuses


def test_a_stop_that_races_with_the_end_has_one_outcome_everywhere(host):
    seconds = 0.05
    stops = race(
        host, lambda number: host.start_execution("work", {"seconds": seconds}), 60, 6, seconds * 0.5, seconds * 1.5)
    before = check(host, stops)
    host.kill9()
    host.start()
    assert check(host, stops) == before


def test_a_stop_that_races_with_a_publish_has_one_outcome_everywhere(host):
    seconds = 0.2

    def start(number):
        return host.start_execution("model-train", {
            "seconds": seconds, "number": number, "roost": {"promote": {"alias": f"a{number}"}}})

    stops = race(host, start, 24, 4, seconds, seconds + 0.4)
    before = check(host, stops)

    def published():
        versions = {v["Lineage"]["execution"]: v["Version"] for v in host.versions("model") if v.get("Lineage")}
        aliases = {alias["Name"]: alias["FunctionVersion"] for alias in
                   host.call("GET", "/2015-03-31/functions/model/aliases")["Aliases"]}
        return versions, aliases

    for _ in range(2):
        versions, aliases = published()
        good = {identifier for identifier, status in before.items() if status == "SUCCEEDED"}
        assert set(versions) == good and len(set(versions.values())) == len(good)
        assert set(aliases.values()) == {str(version) for version in versions.values()}
        assert len(aliases) == len(good)
        for identifier in before:
            execution = host.execution(identifier)
            assert ("PublishedVersion" in execution) == (identifier in good)
        until(lambda: not any((host.data_dir / "executions").iterdir()), 30, "the end of all scratch files")
        host.kill9()
        host.start()
        assert check(host, stops) == before


@pytest.mark.parametrize("function", ["work", "model-train"])
def test_clients_that_race_with_one_name_get_one_execution(host, function):
    event = {"seconds": 0.1, "number": 1}

    def send(event):
        return host.request("POST", f"{FUNCTIONS}/{function}/invocations", event, {
            "X-Amz-Invocation-Type": "Event", "X-Amz-Durable-Execution-Name": "the-one"})

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, [event] * 16 + [{**event, "number": 2}] * 16))
    arns = {answer.headers["X-Amz-Durable-Execution-Arn"] for answer in answers if answer.status == 202}
    assert len(arns) == 1
    assert [answer.status for answer in answers].count(202) == 16
    assert [answer.status for answer in answers].count(409) == 16
    listed = host.call("GET", f"/roost/v1/executions?function={function}")["Executions"]
    assert len(listed) == 1 and host.finished(listed[0]["Id"])["Status"] == "SUCCEEDED"
    if function == "model-train":
        assert len([version for version in host.versions("model") if version.get("Lineage")]) == 1
