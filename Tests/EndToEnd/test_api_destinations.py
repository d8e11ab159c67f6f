"""Retries of executions as they are configured, and destinations."""

import datetime
import json
import uuid

import pytest

from conftest import ARN, ROLE, make_zip, wait_until
from execution_host import COUNTED, SLEEP, attempts, blocked, history, host, start
from lambda_api import ACTOR, VERSIONED, invoke, wait_until_ended


def test_as_many_attempts_as_are_configured_for_the_qualifier(host, lambda_client, make_function):
    client, name = lambda_client, make_function(COUNTED, Publish=True)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=1)
    client.put_function_event_invoke_config(FunctionName=name, Qualifier="live", MaximumRetryAttempts=0)
    # Nothing for version 1: it has the default, though the alias and $LATEST have less.
    expected = {"$LATEST": 2, "live": 1, "1": 3}
    arns = {}
    for qualifier in expected:
        response = invoke(client, f"{name}:{qualifier}", {"key": qualifier, "fail": True}, InvocationType="Event")
        arns[qualifier] = response["DurableExecutionArn"], response["ResponseMetadata"]["RequestId"]
    for qualifier, (arn, request) in arns.items():
        assert wait_until_ended(client, arn)["Status"] == "FAILED"
        assert attempts(client, arn) == expected[qualifier], qualifier
        events = [event["InvocationCompletedDetails"] for event in history(client, arn)
                  if event["EventType"] == "InvocationCompleted"]
        assert {event["RequestId"] for event in events} == {request}
        # And that is what the function was told, each time.
        text = host.request("GET", f"/roost/v1/functions/{name}/logs?lines=1000").body.decode()
        assert text.count(f"called {qualifier} {request}") == expected[qualifier]


def test_what_is_configured_when_an_attempt_ends_counts(host, lambda_client, make_function):
    client, name = lambda_client, make_function(COUNTED)
    arn = start(client, name, {"key": "x", "seconds": 1, "fail": True})
    wait_until(lambda: any(worker["State"] == "busy" for worker in host.workers(name)), "the worker")
    client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    assert wait_until_ended(client, arn)["Status"] == "FAILED"
    assert attempts(client, arn) == 1


def test_an_event_for_latest_runs_what_is_the_latest_when_its_turn_comes(lambda_client, blocked):
    client, (name, blocker) = lambda_client, blocked
    arn = start(client, name, {})
    client.update_function_code(FunctionName=name, ZipFile=make_zip({"function.py": VERSIONED % "new"}))
    client.stop_durable_execution(DurableExecutionArn=blocker)
    assert json.loads(wait_until_ended(client, arn)["Result"]) == "new"


def test_all_attempts_of_an_event_run_the_version_that_its_alias_had(host, lambda_client, make_function):
    client, name = lambda_client, make_function(COUNTED, Publish=True, Timeout=20)
    client.update_function_configuration(FunctionName=name, Description="second")
    client.publish_version(FunctionName=name)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1",
                        RoutingConfig={"AdditionalVersionWeights": {"2": 1.0}})
    arn = start(client, f"{name}:live", {"key": "x", "seconds": 0.3, "fail": True})
    assert f":{name}:2/" in arn
    client.update_alias(FunctionName=name, Name="live", RoutingConfig={})
    ended = wait_until_ended(client, arn)
    assert (ended["Status"], ended["Version"]) == ("FAILED", "2")
    text = host.request("GET", f"/roost/v1/functions/{name}/logs?lines=1000").body.decode()
    assert [line.split("\t")[1] for line in text.splitlines() if "called x" in line] == ["2"] * 3


@pytest.fixture
def records(lambda_client, make_function):
    """Two functions that are destinations, for success and failure, and what they were sent."""
    names = {kind: make_function(name=f"records-{kind}-{uuid.uuid4().hex[:8]}") for kind in ("success", "failure")}

    def of(kind, count=1):
        """The records that came, oldest first; waits for so many."""
        def listed():
            found = lambda_client.list_durable_executions_by_function(
                FunctionName=names[kind], ReverseOrder=True)["DurableExecutions"]
            return found if len(found) >= count else None

        found = wait_until(listed, f"{count} records of {kind}") if count else listed()
        return [json.loads(lambda_client.get_durable_execution(
            DurableExecutionArn=each["DurableExecutionArn"])["InputPayload"]) for each in found]

    of.config = {"OnSuccess": {"Destination": ARN + names["success"]},
                 "OnFailure": {"Destination": ARN + names["failure"]}}
    return of


def check_record(record, request, function, condition, count, payload):
    """What every record has; the rest of it."""
    datetime.datetime.strptime(record["timestamp"], "%Y-%m-%dT%H:%M:%S.%fZ")
    assert record["version"] == "1.0"
    assert record["requestContext"] == {
        "requestId": request, "functionArn": ARN + function, "condition": condition, "approximateInvokeCount": count}
    assert record["requestPayload"] == payload
    return {key: value for key, value in record.items()
            if key not in ("version", "timestamp", "requestContext", "requestPayload")}


def test_a_success_is_told_to_its_destination(lambda_client, make_function, records):
    client, name = lambda_client, make_function(COUNTED)
    client.put_function_event_invoke_config(FunctionName=name, DestinationConfig=records.config)
    response = invoke(client, name, {"key": "世"}, InvocationType="Event")
    [record] = records("success")
    request = response["ResponseMetadata"]["RequestId"]
    rest = check_record(record, request, f"{name}:$LATEST", "Success", 1, {"key": "世"})
    assert rest == {"responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
                    "responsePayload": {"key": "世", "version": "$LATEST"}}
    assert records("failure", 0) == []


def test_a_failure_is_told_once_its_retries_are_over(lambda_client, make_function, records):
    client, name = lambda_client, make_function(COUNTED, Publish=True)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    client.put_function_event_invoke_config(
        FunctionName=name, Qualifier="live", DestinationConfig=records.config)
    # By the alias alone, since only that has destinations.
    silent = start(client, name, {"fail": True})
    response = invoke(client, f"{name}:live", {"key": 1, "fail": True}, InvocationType="Event")
    [record] = records("failure")
    rest = check_record(record, response["ResponseMetadata"]["RequestId"], f"{name}:live", "RetriesExhausted", 3,
                        {"key": 1, "fail": True})
    assert rest["responseContext"] == {"statusCode": 200, "executedVersion": "1", "functionError": "Unhandled"}
    payload = rest["responsePayload"]
    assert (payload["errorType"], payload["errorMessage"]) == ("KeyError", "'again'")
    assert payload["requestId"] == response["ResponseMetadata"]["RequestId"]
    wait_until_ended(client, silent)
    assert len(records("failure")) == 1 and records("success", 0) == []


def test_a_crash_and_a_timeout_are_failures_too(lambda_client, make_function, records):
    client, name = lambda_client, make_function(ACTOR, Timeout=1)
    client.put_function_event_invoke_config(
        FunctionName=name, MaximumRetryAttempts=0, DestinationConfig=records.config)
    for event in ({"do": "exit", "code": 3}, SLEEP):
        wait_until_ended(client, start(client, name, event))
    found = records("failure", 2)
    assert [record["responsePayload"]["errorType"] for record in found] == ["Runtime.ExitError", "Sandbox.Timedout"]
    assert [record["requestContext"]["condition"] for record in found] == ["RetriesExhausted"] * 2


def test_without_concurrency_an_event_fails_at_once_and_its_destination_is_told(
        lambda_client, make_function, records):
    client, name = lambda_client, make_function(COUNTED)
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    client.put_function_event_invoke_config(FunctionName=name, DestinationConfig=records.config)
    response = invoke(client, name, {"a": 1}, InvocationType="Event")
    [record] = records("failure")
    rest = check_record(record, response["ResponseMetadata"]["RequestId"], f"{name}:$LATEST",
                        "ZeroReservedConcurrency", 0, {"a": 1})
    assert "responsePayload" not in rest
    found = wait_until_ended(client, response["DurableExecutionArn"])
    assert found["Status"] == "FAILED" and attempts(client, response["DurableExecutionArn"]) == 0


def test_a_retry_that_would_come_too_late_is_none(make_host):
    host = make_host({"retryDelaysSeconds": [3600, 3600]})
    client = host.client()
    for name in ("aged", "record"):
        client.create_function(
            FunctionName=name, Role=ROLE, Runtime="python3", Handler="function.handler",
            Code={"ZipFile": make_zip({"function.py": COUNTED})})
    client.put_function_event_invoke_config(
        FunctionName="aged", MaximumEventAgeInSeconds=60, DestinationConfig={
            "OnFailure": {"Destination": ARN + "record"}})
    response = invoke(client, "aged", {"fail": True}, InvocationType="Event")
    ended = wait_until_ended(client, response["DurableExecutionArn"])
    assert ended["Status"] == "FAILED" and attempts(client, response["DurableExecutionArn"]) == 1

    def told():
        found = client.list_durable_executions_by_function(FunctionName="record")["DurableExecutions"]
        return found and client.get_durable_execution(DurableExecutionArn=found[0]["DurableExecutionArn"])

    record = json.loads(wait_until(told, "the record")["InputPayload"])
    rest = check_record(record, response["ResponseMetadata"]["RequestId"], "aged:$LATEST", "EventAgeExceeded", 1,
                        {"fail": True})
    assert rest["responseContext"]["functionError"] == "Unhandled"


def test_a_stop_is_told_to_the_destination_for_failures(lambda_client, blocked, records):
    client, (name, running) = lambda_client, blocked
    client.put_function_event_invoke_config(FunctionName=name, DestinationConfig=records.config)
    client.stop_durable_execution(DurableExecutionArn=running)
    [record] = records("failure")
    assert record["requestPayload"] == SLEEP
    assert record["requestContext"]["functionArn"] == f"{ARN}{name}:$LATEST"


def test_a_destination_that_is_gone_harms_nobody(host, lambda_client, make_function):
    client, name, target = lambda_client, make_function(COUNTED), make_function()
    client.put_function_event_invoke_config(FunctionName=name, DestinationConfig={
        "OnSuccess": {"Destination": ARN + target}})
    client.delete_function(FunctionName=target)
    arn = start(client, name, {"key": "x"})
    assert wait_until_ended(client, arn)["Status"] == "SUCCEEDED"
    assert host.request("GET", "/healthz").status == 200


def test_destinations_of_destinations_are_followed(lambda_client, make_function, records):
    client, last, middle, first = lambda_client, make_function(), make_function(), make_function()
    for name, target in ((first, middle), (middle, last)):
        client.put_function_event_invoke_config(FunctionName=name, DestinationConfig={
            "OnSuccess": {"Destination": f"{ARN}{target}:$LATEST"}})
    start(client, first, {"a": 1})

    def arrived():
        return client.list_durable_executions_by_function(FunctionName=last)["DurableExecutions"]

    [execution] = wait_until(arrived, "the second record")
    record = json.loads(client.get_durable_execution(
        DurableExecutionArn=execution["DurableExecutionArn"])["InputPayload"])
    assert record["requestContext"]["functionArn"] == f"{ARN}{middle}:$LATEST"
    assert record["requestPayload"]["requestPayload"] == {"a": 1}
