"""Asynchronous invocations as boto3 sees them: from the event to the end of its execution."""

import datetime
import json

import pytest

from conftest import ARN, ROLE, make_zip, wait_until
from lambda_api import ACTOR, VERSIONED, check_error, invoke, result, wait_until_ended


def test_an_event_is_an_execution(lambda_client, make_function):
    client, name = lambda_client, make_function("def handler(event, context):\n    return {'got': event}\n")
    begun = datetime.datetime.now(datetime.timezone.utc)
    response = client.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"lr": 0.10}')
    assert response["StatusCode"] == 202 and response["Payload"].read() == b""
    assert "ExecutedVersion" not in response
    arn, request_id = response["DurableExecutionArn"], response["ResponseMetadata"]["RequestId"]
    assert arn == f"{ARN}{name}:$LATEST/durable-execution/{request_id}/{request_id}"
    ended = wait_until_ended(client, arn)
    assert {key: ended[key] for key in (
        "DurableExecutionArn", "DurableExecutionName", "FunctionArn", "Status", "Version", "InputPayload")} == {
        "DurableExecutionArn": arn, "DurableExecutionName": request_id, "FunctionArn": f"{ARN}{name}:$LATEST",
        "Status": "SUCCEEDED", "Version": "$LATEST", "InputPayload": '{"lr": 0.10}'}
    assert json.loads(ended["Result"]) == {"got": {"lr": 0.1}}
    assert "Error" not in ended
    second = datetime.timedelta(seconds=1)
    assert begun - second < ended["StartTimestamp"] <= ended["EndTimestamp"]
    bare = client.get_durable_execution(DurableExecutionArn=arn, IncludeExecutionData=False)
    assert "Result" not in bare and "InputPayload" not in bare and bare["Status"] == "SUCCEEDED"

    events = client.get_durable_execution_history(DurableExecutionArn=arn, IncludeExecutionData=True)["Events"]
    assert [event["EventType"] for event in events] == [
        "ExecutionStarted", "InvocationCompleted", "ExecutionSucceeded"]
    assert events[0]["ExecutionStartedDetails"]["Input"]["Payload"] == '{"lr": 0.10}'
    assert events[1]["InvocationCompletedDetails"]["RequestId"] == request_id
    assert json.loads(events[2]["ExecutionSucceededDetails"]["Result"]["Payload"]) == {"got": {"lr": 0.1}}
    ids = [event["EventId"] for event in events]
    assert ids == sorted(set(ids))
    newest = client.get_durable_execution_history(DurableExecutionArn=arn, ReverseOrder=True)["Events"]
    assert [event["EventId"] for event in newest] == ids[::-1]
    paged = client.get_paginator("get_durable_execution_history").paginate(
        DurableExecutionArn=arn, PaginationConfig={"PageSize": 1})
    assert [event["EventId"] for page in paged for event in page["Events"]] == ids


def test_a_name_makes_an_event_idempotent(lambda_client, make_function):
    client, name = lambda_client, make_function()

    def start(payload, execution="nightly"):
        return client.invoke(
            FunctionName=name, InvocationType="Event", Payload=payload, DurableExecutionName=execution)

    arn = start(b'{"a": 1}')["DurableExecutionArn"]
    assert "/durable-execution/nightly/" in arn
    assert start(b'{"a": 1}')["DurableExecutionArn"] == arn
    wait_until_ended(client, arn)
    assert start(b'{"a": 1}')["DurableExecutionArn"] == arn
    with pytest.raises(client.exceptions.DurableExecutionAlreadyStartedException) as caught:
        start(b'{"a": 2}')
    check_error(caught, 409, "DurableExecutionAlreadyStartedException")
    assert start(b'{"a": 2}', "weekly")["DurableExecutionArn"] != arn
    listed = client.list_durable_executions_by_function(FunctionName=name, DurableExecutionName="nightly")
    assert [execution["DurableExecutionArn"] for execution in listed["DurableExecutions"]] == [arn]
    events = client.get_durable_execution_history(DurableExecutionArn=arn)["Events"]
    assert [event["EventType"] for event in events].count("InvocationCompleted") == 1
    for bad in ("a b", "a" * 65, "世"):
        with pytest.raises(Exception) as caught:
            start(b"{}", bad)
        assert getattr(caught.value, "response", {"Error": {"Code": "ValidationException"}})["Error"]["Code"] == \
            "ValidationException"


def test_executions_are_listed_by_status_time_and_order(lambda_client, make_function):
    client, name = lambda_client, make_function(ACTOR, Timeout=60)
    arns = []
    for index in range(3):
        arns.append(client.invoke(
            FunctionName=name, InvocationType="Event", Payload=b"{}",
            DurableExecutionName=f"run-{index}")["DurableExecutionArn"])
        wait_until_ended(client, arns[-1])
    running = client.invoke(
        FunctionName=name, InvocationType="Event", Payload=b'{"do": "sleep", "seconds": 50}')["DurableExecutionArn"]

    def listed(**parameters):
        pages = client.get_paginator("list_durable_executions_by_function").paginate(
            FunctionName=name, PaginationConfig={"PageSize": 2}, **parameters)
        return [execution["DurableExecutionArn"] for page in pages for execution in page["DurableExecutions"]]

    assert listed() == [running, *arns[::-1]]
    assert listed(ReverseOrder=True) == [*arns, running]
    assert listed(Statuses=["SUCCEEDED"]) == arns[::-1]
    assert listed(Statuses=["RUNNING"]) == [running]
    assert listed(Statuses=["RUNNING", "SUCCEEDED"]) == [running, *arns[::-1]]
    assert listed(Statuses=["FAILED", "TIMED_OUT", "STOPPED"]) == []
    now = datetime.datetime.now(datetime.timezone.utc)
    hour = datetime.timedelta(hours=1)
    assert listed(StartedAfter=now - hour, StartedBefore=now + hour) == [running, *arns[::-1]]
    assert listed(StartedAfter=now + hour) == listed(StartedBefore=now - hour) == []
    assert listed(Qualifier="$LATEST") == [running, *arns[::-1]]
    client.stop_durable_execution(DurableExecutionArn=running)
    wait_until_ended(client, running)


def test_an_execution_that_runs_can_be_stopped_and_is_not_failed(host, lambda_client, make_function):
    client, name = lambda_client, make_function(ACTOR, Timeout=60)
    arn = client.invoke(
        FunctionName=name, InvocationType="Event", Payload=b'{"do": "sleep", "seconds": 50}')["DurableExecutionArn"]
    wait_until(lambda: any(worker["State"] == "busy" for worker in host.workers()), "the worker")
    client.stop_durable_execution(DurableExecutionArn=arn)
    ended = wait_until_ended(client, arn)
    assert ended["Status"] == "STOPPED" and "Result" not in ended and ended["EndTimestamp"]
    history = client.get_durable_execution_history(DurableExecutionArn=arn)["Events"]
    assert history[-1]["EventType"] == "ExecutionStopped"
    # Stopping it again says when it ended.
    again = client.stop_durable_execution(DurableExecutionArn=arn)
    assert again["StopTimestamp"] == ended["EndTimestamp"]
    wait_until(lambda: not host.workers(name), "the stopped worker to be gone")


def test_an_execution_that_waits_can_be_stopped_before_it_ran(host, lambda_client, make_function):
    client, name = lambda_client, make_function(ACTOR, Timeout=60)
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    first, second = (invoke(client, name, {"do": "sleep", "seconds": 50}, InvocationType="Event")["DurableExecutionArn"]
                     for _ in range(2))
    wait_until(lambda: any(worker["State"] == "busy" for worker in host.workers(name)), "the worker")
    # What waits is running for a client of the Lambda API, since it was accepted.
    assert client.get_durable_execution(DurableExecutionArn=second)["Status"] == "RUNNING"
    client.stop_durable_execution(DurableExecutionArn=second)
    assert wait_until_ended(client, second)["Status"] == "STOPPED"
    assert client.get_durable_execution(DurableExecutionArn=first)["Status"] == "RUNNING"
    client.stop_durable_execution(DurableExecutionArn=first)
    assert wait_until_ended(client, first)["Status"] == "STOPPED"


def test_an_event_by_alias_runs_the_version_that_it_had_when_it_was_accepted(host, lambda_client, make_function):
    client, name = lambda_client, make_function(ACTOR, Timeout=30, Publish=True)
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    blocking = invoke(client, f"{name}:live", {"do": "sleep", "seconds": 20}, InvocationType="Event")
    wait_until(lambda: any(worker["State"] == "busy" for worker in host.workers(name)), "the worker")
    waiting = invoke(client, f"{name}:live", {"do": "context"}, InvocationType="Event")["DurableExecutionArn"]
    assert f":function:{name}:1/durable-execution/" in waiting
    client.update_function_code(FunctionName=name, ZipFile=make_zip({"function.py": VERSIONED % "new"}), Publish=True)
    client.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    client.stop_durable_execution(DurableExecutionArn=blocking["DurableExecutionArn"])
    ended = wait_until_ended(client, waiting)
    assert ended["Status"] == "SUCCEEDED"
    context = json.loads(ended["Result"])
    assert (context["function_version"], context["invoked_function_arn"]) == ("1", f"{ARN}{name}:live")


def test_stopping_what_has_ended_changes_nothing(lambda_client, make_function):
    client, name = lambda_client, make_function()
    arn = client.invoke(FunctionName=name, InvocationType="Event")["DurableExecutionArn"]
    ended = wait_until_ended(client, arn)
    assert client.stop_durable_execution(DurableExecutionArn=arn)["StopTimestamp"] == ended["EndTimestamp"]
    assert client.get_durable_execution(DurableExecutionArn=arn)["Status"] == "SUCCEEDED"


def test_events_that_fail_are_tried_again_and_then_failed(make_host):
    host = make_host({"retryDelaysSeconds": [0.05, 0.05]})
    client = host.client()
    client.create_function(FunctionName="failing", Role=ROLE, Runtime="python3", Handler="function.handler", Timeout=1,
                           Code={"ZipFile": make_zip({"function.py": ACTOR})})
    for event, status, error_type in (
            ({"do": "raise", "what": "luck"}, "FAILED", "ValueError"),
            ({"do": "exit", "code": 3}, "FAILED", "Runtime.ExitError")):
        response = invoke(client, "failing", event, InvocationType="Event")
        ended = wait_until_ended(client, response["DurableExecutionArn"])
        assert (ended["Status"], ended["Error"]["ErrorType"]) == (status, error_type)
        assert "Result" not in ended
        history = client.get_durable_execution_history(DurableExecutionArn=response["DurableExecutionArn"])["Events"]
        attempts = [event for event in history if event["EventType"] == "InvocationCompleted"]
        assert len(attempts) == 3
        request_id = response["ResponseMetadata"]["RequestId"]
        assert {attempt["InvocationCompletedDetails"]["RequestId"] for attempt in attempts} == {request_id}
        assert all(attempt["InvocationCompletedDetails"]["Error"] for attempt in attempts)
        assert history[-1]["EventType"] == "ExecutionFailed"
    response = invoke(client, "failing", {"do": "sleep", "seconds": 50}, InvocationType="Event")
    ended = wait_until_ended(client, response["DurableExecutionArn"])
    assert ended["Status"] in ("TIMED_OUT", "FAILED") and ended["Error"]["ErrorType"] == "Sandbox.Timedout"


def test_executions_outlive_the_host(make_host):
    host = make_host()
    client = host.client()
    client.create_function(FunctionName="echo", Role=ROLE, Runtime="python3", Handler="function.handler",
                           Code={"ZipFile": make_zip({"function.py": "def handler(event, context):\n    return 7\n"})})
    arn = client.invoke(FunctionName="echo", InvocationType="Event")["DurableExecutionArn"]
    wait_until_ended(client, arn)
    client.publish_version(FunctionName="echo")
    client.create_alias(FunctionName="echo", Name="live", FunctionVersion="1")
    host.kill()
    host.start()
    client = host.client()
    assert client.get_durable_execution(DurableExecutionArn=arn)["Result"] == "7"
    response = client.invoke(FunctionName="echo", Qualifier="live")
    assert (result(response), response["ExecutedVersion"]) == (7, "1")
