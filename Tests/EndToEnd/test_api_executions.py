"""Asynchronous invocations as durable executions: names, lists, histories, stops, pauses and deletions."""

import datetime
import json
import threading
import time
import uuid

import pytest
from botocore.exceptions import ClientError

from conftest import ARN, wait_until
from execution_host import COUNTED, SLEEP, attempts, blocked, calls, history, host, start, status
from lambda_api import ACTOR, MODEL, check_error, invoke, path_of, pipelined, post, violations, wait_until_ended

# MARK: names

def test_names_of_every_allowed_kind(lambda_client, make_function):
    name = make_function()
    for execution in ("a", "-", "_", "0", "A-b_C-9", "x" * 64, str(uuid.uuid4())):
        arn = start(lambda_client, name, {}, DurableExecutionName=execution)
        assert arn.startswith(f"{ARN}{name}:$LATEST/durable-execution/{execution}/")
        found = wait_until_ended(lambda_client, arn)
        assert (found["DurableExecutionName"], found["DurableExecutionArn"]) == (execution, arn)


def test_the_same_name_is_another_execution_of_another_function(lambda_client, make_function):
    one, other = (start(lambda_client, make_function(), {"a": n}, DurableExecutionName="nightly") for n in (1, 2))
    assert one != other
    assert wait_until_ended(lambda_client, one)["Result"] == '{"a": 1}'
    assert wait_until_ended(lambda_client, other)["Result"] == '{"a": 2}'


def test_without_a_name_the_same_event_is_run_again(lambda_client, make_function):
    name = make_function()
    assert len({start(lambda_client, name, {}) for _ in range(3)}) == 3


def test_a_name_and_a_caller_that_waits_for_the_answer(host, lambda_client, make_function):
    client, name = lambda_client, make_function(COUNTED)

    def call(event, execution="once"):
        response = invoke(client, name, event, DurableExecutionName=execution)
        return response, json.loads(response["Payload"].read())

    event = {"key": "first"}
    response, answer = call(event)
    assert response["StatusCode"] == 200 and answer == {"key": "first", "version": "$LATEST"}
    assert response["ExecutedVersion"] == "$LATEST" and "FunctionError" not in response
    arn = response["DurableExecutionArn"]
    assert arn.startswith(f"{ARN}{name}:$LATEST/durable-execution/once/")
    found = client.get_durable_execution(DurableExecutionArn=arn)
    assert found["Status"] == "SUCCEEDED" and json.loads(found["Result"]) == answer
    # Again, by whichever way: what is stored is answered, and nothing runs.
    again, same = call(event)
    assert same == answer and again["DurableExecutionArn"] == arn
    assert start(client, name, event, DurableExecutionName="once") == arn
    wait_until(lambda: calls(host, name, "first") >= 1, "the line of the call")
    assert calls(host, name, "first") == 1
    for kind in ("RequestResponse", "Event"):
        with pytest.raises(client.exceptions.DurableExecutionAlreadyStartedException) as caught:
            invoke(client, name, {"key": "other"}, InvocationType=kind, DurableExecutionName="once")
        check_error(caught, 409, "DurableExecutionAlreadyStartedException")
    # One that failed is answered as it failed.
    failing = start(client, name, {"key": "second", "fail": True}, DurableExecutionName="failing")
    assert wait_until_ended(client, failing)["Status"] == "FAILED"
    response, error = call({"key": "second", "fail": True}, "failing")
    assert (response["FunctionError"], error["errorType"]) == ("Unhandled", "KeyError")
    assert calls(host, name, "second") == 3


def test_callers_attach_to_the_execution_that_runs(host, make_function, lambda_client):
    name = make_function(COUNTED, Timeout=20)
    event = {"key": "shared", "seconds": 0.7}
    arn = start(lambda_client, name, event, DurableExecutionName="shared")
    answers = []

    def attach():
        response = invoke(host.client(), name, event, DurableExecutionName="shared")
        answers.append((response["DurableExecutionArn"], json.loads(response["Payload"].read())["key"]))

    threads = [threading.Thread(target=attach) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers == [(arn, "shared")] * 4
    assert calls(host, name, "shared") == 1


# MARK: lists

def test_pages_of_executions(host, lambda_client, make_function):
    client, name = lambda_client, make_function()
    request = post(path_of("Invoke", FunctionName=name), b"{}", {"X-Amz-Invocation-Type": "Event"})
    answers = pipelined(host, [request] * 105)
    assert all(answer.status == 202 for answer in answers)
    arns = {answer.headers["X-Amz-Durable-Execution-Arn"] for answer in answers}
    assert len(arns) == 105

    def page(**parameters):
        response = client.list_durable_executions_by_function(FunctionName=name, **parameters)
        return [each["DurableExecutionArn"] for each in response["DurableExecutions"]], response.get("NextMarker")

    everything, marker = page(MaxItems=1000)
    assert set(everything) == arns and marker is None
    # A hundred by default, and for none.
    for parameters in ({}, {"MaxItems": 0}):
        first, marker = page(**parameters)
        assert first == everything[:100]
        assert page(Marker=marker) == (everything[100:], None)
    assert page(MaxItems=1000, ReverseOrder=True) == (everything[::-1], None)
    # The end of a page that is the end of the list has no marker, or one to an empty page.
    exact, marker = page(MaxItems=105)
    assert exact == everything and (marker is None or page(Marker=marker) == ([], None))
    for limit in (-1, 1001):
        answer = host.request(
            "GET", path_of("ListDurableExecutionsByFunction", FunctionName=name) + f"?MaxItems={limit}")
        assert (answer.status, answer.error) == (400, "ValidationException")
    starts = [each["StartTimestamp"] for each in client.list_durable_executions_by_function(
        FunctionName=name, MaxItems=1000)["DurableExecutions"]]
    assert starts == sorted(starts, reverse=True)


def test_filters_of_lists(host, lambda_client, make_function):
    client, name = lambda_client, make_function(COUNTED, Publish=True, Timeout=20)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    made = {}
    for key, qualifier, event in (
            ("good", "1", {"key": 1}), ("bad", "$LATEST", {"fail": True}), ("late", "live", {"key": 2})):
        made[key] = start(client, f"{name}:{qualifier}", event, DurableExecutionName=key)
        wait_until_ended(client, made[key])
        time.sleep(0.002)

    def listed(**parameters):
        response = client.list_durable_executions_by_function(FunctionName=name, **parameters)
        return [each["DurableExecutionName"] for each in response["DurableExecutions"]]

    assert listed() == ["late", "bad", "good"]
    assert listed(Statuses=["FAILED"]) == ["bad"]
    assert listed(Statuses=["SUCCEEDED", "FAILED"], ReverseOrder=True) == ["good", "bad", "late"]
    assert listed(Statuses=["PAUSED", "PAUSING", "DELETING", "RUNNING", "TIMED_OUT", "STOPPED"]) == []
    assert listed(Qualifier="$LATEST") == ["bad"]
    assert set(listed(Qualifier="1")) >= {"good"} and "bad" not in listed(Qualifier="1")
    assert listed(DurableExecutionName="bad") == ["bad"] and listed(DurableExecutionName="ba") == []
    middle = client.get_durable_execution(DurableExecutionArn=made["bad"])["StartTimestamp"]
    moment = datetime.timedelta(milliseconds=1)
    # boto3 sends whole seconds, so here by hand.
    path = path_of("ListDurableExecutionsByFunction", FunctionName=name)

    def by_hand(query):
        answer = host.request("GET", f"{path}?{query}")
        assert answer.status == 200, answer.body
        return [each["DurableExecutionName"] for each in answer.json["DurableExecutions"]]

    def text(time):
        return time.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H%%3A%M%%3A%S.%fZ")

    assert by_hand(f"StartedAfter={text(middle + moment)}") == ["late"]
    assert by_hand(f"StartedBefore={text(middle - moment)}") == ["good"]
    assert by_hand(f"StartedAfter={text(middle - moment)}&StartedBefore={text(middle + moment)}") == ["bad"]
    assert by_hand(f"StartedAfter={(middle + moment).timestamp()}") == ["late"]
    for query in ("StartedAfter=soon", "StartedBefore=2026-13-01T00:00:00Z", "ReverseOrder=maybe"):
        assert host.request("GET", f"{path}?{query}").status == 400
    with pytest.raises(ClientError) as caught:
        listed(Statuses=["DONE"])
    check_error(caught, 400, "ValidationException", "DONE")
    # A list has no payloads.
    [summary] = client.list_durable_executions_by_function(
        FunctionName=name, DurableExecutionName="bad")["DurableExecutions"]
    assert summary.keys() == {"DurableExecutionArn", "DurableExecutionName", "FunctionArn", "Status", "StartTimestamp",
                              "EndTimestamp"}
    assert summary["FunctionArn"] == f"{ARN}{name}:$LATEST"


# MARK: one execution

def test_what_is_said_depends_on_how_it_ended(host, lambda_client, make_function):
    client, name = lambda_client, make_function(COUNTED, Timeout=60)
    arns = [start(client, name, event) for event in ({"key": "世"}, {"fail": True}, {"seconds": 50})]
    good, bad = (wait_until_ended(client, arn) for arn in arns[:2])
    running = client.get_durable_execution(DurableExecutionArn=arns[2])
    common = {"DurableExecutionArn", "DurableExecutionName", "FunctionArn", "Status", "StartTimestamp", "Version",
              "InputPayload"}
    may = {"ResponseMetadata", "TraceHeader", "ExecutionDataIncluded", "DurableConfig",
           "ExpectedExecutionTimeoutTimestamp"}
    assert good.keys() - may == common | {"EndTimestamp", "Result"} and good["Status"] == "SUCCEEDED"
    assert bad.keys() - may == common | {"EndTimestamp", "Error"} and bad["Status"] == "FAILED"
    assert running.keys() - may == common and running["Status"] == "RUNNING"
    # A result is text with JSON in it.
    assert json.loads(good["Result"])["key"] == "世"
    assert (bad["Error"]["ErrorType"], bad["Error"]["ErrorMessage"]) == ("KeyError", "'again'")
    assert any("handler" in line for line in bad["Error"]["StackTrace"])
    for found in (good, bad, running):
        bare = client.get_durable_execution(
            DurableExecutionArn=found["DurableExecutionArn"], IncludeExecutionData=False)
        assert not {"InputPayload", "Result"} & bare.keys() and bare["Status"] == found["Status"]
    # Times are numbers of seconds.
    raw = host.request("GET", path_of("GetDurableExecution", DurableExecutionArn=arns[0])).json
    assert abs(raw["StartTimestamp"] - time.time()) < 60 and raw["StartTimestamp"] <= raw["EndTimestamp"]
    client.stop_durable_execution(DurableExecutionArn=arns[2])


def test_arns_that_name_no_execution(host, lambda_client, make_function):
    client, name = lambda_client, make_function()
    arn = start(client, name, {}, DurableExecutionName="named")
    prefix, _, identifier = arn.rpartition("/")
    for other in (f"{prefix}/{uuid.uuid4()}", arn.replace("/named/", "/other/"), arn.replace(f":{name}:", ":other:"),
                  arn.replace(":$LATEST/", ":1/")):
        for operation in (client.get_durable_execution, client.get_durable_execution_history,
                          client.stop_durable_execution, client.delete_durable_execution,
                          client.pause_durable_execution, client.resume_durable_execution):
            with pytest.raises(client.exceptions.ResourceNotFoundException) as caught:
                operation(DurableExecutionArn=other)
            check_error(caught, 404, "ResourceNotFoundException")
    for other in (identifier, ARN + name, arn + "/more", arn.replace(":function:", ":"), "arn"):
        with pytest.raises(ClientError) as caught:
            client.get_durable_execution(DurableExecutionArn=other)
        check_error(caught, 400, "ValidationException", "durableExecutionArn")


def check_history(events):
    """Each event has what the model requires of it, and the details of its own kind alone."""
    shape = MODEL.shape_for("Event")
    for event in events:
        assert not list(violations(event, shape)), event
        assert {"EventType", "EventId", "Id", "EventTimestamp"} <= event.keys()
        details = [key for key in event if key.endswith("Details")]
        assert details == [event["EventType"] + "Details"], event
    ids = [event["EventId"] for event in events]
    assert ids[0] == 1 and ids == sorted(set(ids))
    times = [event["EventTimestamp"] for event in events]
    assert times == sorted(times)


def test_the_history_of_each_end(lambda_client, make_function):
    client, name = lambda_client, make_function(COUNTED, Timeout=60)
    kinds = {}
    for key, event in (("good", {"key": "x"}), ("bad", {"fail": True}), ("stopped", {"seconds": 50})):
        arn = start(client, name, event)
        if key == "stopped":
            client.stop_durable_execution(DurableExecutionArn=arn)
        wait_until_ended(client, arn)
        events = history(client, arn, IncludeExecutionData=True)
        check_history(events)
        kinds[key] = [event["EventType"] for event in events]
        begun = events[0]["ExecutionStartedDetails"]
        assert json.loads(begun["Input"]["Payload"]) == event and begun["ExecutionTimeout"] > 0
        for attempt in events[1:-1]:
            if attempt["EventType"] == "InvocationCompleted":
                details = attempt["InvocationCompletedDetails"]
                assert details["StartTimestamp"] <= details["EndTimestamp"]
                assert ("Error" in details) == (key == "bad")
        # Without data there is no payload, and the members that are required are there all the same.
        bare = history(client, arn, IncludeExecutionData=False)
        check_history(bare)
        assert "Payload" not in bare[0]["ExecutionStartedDetails"]["Input"]
        assert [event["EventType"] for event in bare] == kinds[key]
        assert history(client, arn, IncludeExecutionData=True, ReverseOrder=True) == events[::-1]
    assert kinds["good"] == ["ExecutionStarted", "InvocationCompleted", "ExecutionSucceeded"]
    assert kinds["bad"] == ["ExecutionStarted", *["InvocationCompleted"] * 3, "ExecutionFailed"]
    assert kinds["stopped"][0] == "ExecutionStarted" and kinds["stopped"][-1] == "ExecutionStopped"


def test_pages_of_a_history(host, lambda_client, make_function):
    client, name = lambda_client, make_function(COUNTED)
    arn = start(client, name, {"fail": True})
    wait_until_ended(client, arn)
    for reverse in (False, True):
        whole = history(client, arn, ReverseOrder=reverse, IncludeExecutionData=True)
        pages = client.get_paginator("get_durable_execution_history").paginate(
            DurableExecutionArn=arn, ReverseOrder=reverse, IncludeExecutionData=True, PaginationConfig={"PageSize": 2})
        assert [event for page in pages for event in page["Events"]] == whole
    path = path_of("GetDurableExecutionHistory", DurableExecutionArn=arn)
    for query in ("?MaxItems=1001", "?MaxItems=-1"):
        answer = host.request("GET", path + query)
        assert (answer.status, answer.error) == (400, "ValidationException")
    assert host.request("GET", path + "?Marker=nonsense").error == "InvalidParameterValueException"


# MARK: stopping and deleting

def test_who_stops_an_execution_may_say_why(host, lambda_client, make_function):
    client, name = lambda_client, make_function(ACTOR, Timeout=60)
    arn = start(client, name, SLEEP)
    wait_until(lambda: any(worker["State"] == "busy" for worker in host.workers(name)), "the worker")
    error = {"ErrorType": "Budget", "ErrorMessage": "spent", "ErrorData": "5 €", "StackTrace": ["here", "there"]}
    stopped = client.stop_durable_execution(DurableExecutionArn=arn, Error=error)
    found = wait_until_ended(client, arn)
    assert (found["Status"], found["Error"]) == ("STOPPED", error)
    assert stopped["StopTimestamp"] == found["EndTimestamp"]
    last = history(client, arn, IncludeExecutionData=True)[-1]
    assert last["ExecutionStoppedDetails"]["Error"]["Payload"] == error
    # The second to stop it changes nothing.
    other = client.stop_durable_execution(DurableExecutionArn=arn, Error={"ErrorType": "Late"})
    assert other["StopTimestamp"] == stopped["StopTimestamp"]
    assert client.get_durable_execution(DurableExecutionArn=arn)["Error"] == error
    answer = host.request("POST", path_of("StopDurableExecution", DurableExecutionArn=arn), {"Reason": "x"})
    assert (answer.status, answer.error) == (400, "InvalidParameterValueException")
    # It was not tried again.
    assert attempts(client, arn) <= 1


def test_what_has_ended_can_be_deleted(lambda_client, make_function):
    client, name = lambda_client, make_function(COUNTED, Timeout=60)
    arn = start(client, name, {"key": "x"}, DurableExecutionName="again")
    kept = start(client, name, {"key": "y"})
    for each in (arn, kept):
        wait_until_ended(client, each)
    now = datetime.datetime.now(datetime.timezone.utc)
    deleted = client.delete_durable_execution(DurableExecutionArn=arn)
    assert abs(deleted["DeletionRequestTimestamp"] - now) < datetime.timedelta(seconds=10)

    def gone():
        try:
            assert status(client, arn) == "DELETING"
        except client.exceptions.ResourceNotFoundException:
            return True

    wait_until(gone, "the end of the deletion")
    listed = client.list_durable_executions_by_function(FunctionName=name)["DurableExecutions"]
    assert [each["DurableExecutionArn"] for each in listed] == [kept]
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.delete_durable_execution(DurableExecutionArn=arn)
    # Its name is free.
    other = start(client, name, {"key": "z"}, DurableExecutionName="again")
    assert other != arn and wait_until_ended(client, other)["Status"] == "SUCCEEDED"


def test_what_has_not_ended_cannot_be_deleted(lambda_client, blocked):
    client, (name, running) = lambda_client, blocked
    waiting = start(client, name, {})
    for arn in (running, waiting):
        with pytest.raises(client.exceptions.ResourceConflictException) as caught:
            client.delete_durable_execution(DurableExecutionArn=arn)
        check_error(caught, 409, "ResourceConflictException")
        assert status(client, arn) == "RUNNING"


# MARK: pausing

def paused(client, arn):
    return wait_until(lambda: status(client, arn) == "PAUSED", f"the pause of {arn}")


def test_an_execution_that_waits_can_be_paused_and_resumed(lambda_client, blocked):
    client, (name, blocker) = lambda_client, blocked
    arn, later = start(client, name, {}), start(client, name, {})
    begin = datetime.datetime.now(datetime.timezone.utc)
    response = client.pause_durable_execution(
        DurableExecutionArn=arn, Reason="too dear", ExecutionTimeoutPaused=True, ClientToken="token-1")
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 202
    paused(client, arn)
    details = client.get_durable_execution(DurableExecutionArn=arn)["PauseDetails"]
    assert details["Reason"] == "too dear" and details["ExecutionTimeoutPaused"] is True
    assert abs(details["PauseRequestTimestamp"] - begin) < datetime.timedelta(seconds=10)
    listed = client.list_durable_executions_by_function(FunctionName=name, Statuses=["PAUSED"])["DurableExecutions"]
    assert [each["DurableExecutionArn"] for each in listed] == [arn]
    # The same request again is no mistake; another one is.
    client.pause_durable_execution(
        DurableExecutionArn=arn, Reason="too dear", ExecutionTimeoutPaused=True, ClientToken="token-1")
    with pytest.raises(client.exceptions.ResourceConflictException) as caught:
        client.pause_durable_execution(DurableExecutionArn=arn, ClientToken="token-2")
    check_error(caught, 409, "ResourceConflictException")
    with pytest.raises(client.exceptions.ResourceConflictException):
        client.delete_durable_execution(DurableExecutionArn=arn)
    # Its turn passes to the next.
    client.stop_durable_execution(DurableExecutionArn=blocker)
    assert wait_until_ended(client, later)["Status"] == "SUCCEEDED"
    assert status(client, arn) == "PAUSED" and attempts(client, arn) == 0
    resumed = client.resume_durable_execution(DurableExecutionArn=arn, Reason="cheap", ClientToken="token-3")
    assert resumed["ResponseMetadata"]["HTTPStatusCode"] == 202
    found = wait_until(lambda: (found := client.get_durable_execution(DurableExecutionArn=arn))["Status"] == "SUCCEEDED"
                       and found, "the end of what was resumed")
    assert "PauseDetails" not in found
    events = history(client, arn)
    check_history(events)
    by_type = {event["EventType"]: event for event in events}
    assert list(by_type) == ["ExecutionStarted", "ExecutionPaused", "ExecutionResumed", "InvocationCompleted",
                             "ExecutionSucceeded"]
    assert by_type["ExecutionPaused"]["ExecutionPausedDetails"]["ExecutionTimeoutPaused"] is True
    data = {event["EventType"]: event for event in history(client, arn, IncludeExecutionData=True)}
    assert "too dear" in str(data["ExecutionPaused"]) and "cheap" in str(data["ExecutionResumed"])


def test_a_running_attempt_is_finished_before_the_pause_and_the_pause_can_be_taken_back(
        host, lambda_client, make_function):
    client, name = lambda_client, make_function(COUNTED, Timeout=60)
    arn = start(client, name, {"key": "x", "seconds": 2})
    wait_until(lambda: any(worker["State"] == "busy" for worker in host.workers(name)), "the worker")
    client.pause_durable_execution(DurableExecutionArn=arn)
    wait_until(lambda: status(client, arn) == "PAUSING", "the pause", 5)
    client.resume_durable_execution(DurableExecutionArn=arn)
    wait_until(lambda: status(client, arn) == "RUNNING", "the resumption", 5)
    assert wait_until_ended(client, arn)["Status"] == "SUCCEEDED"
    assert calls(host, name, "x") == 1


def test_the_retries_of_a_paused_execution_wait(make_host, lambda_client, host, make_function):
    client, name = lambda_client, make_function(COUNTED, Timeout=60)
    arn = start(client, name, {"key": "x", "seconds": 1, "fail": True})
    wait_until(lambda: any(worker["State"] == "busy" for worker in host.workers(name)), "the worker")
    client.pause_durable_execution(DurableExecutionArn=arn)
    paused(client, arn)
    other = start(client, name, {"key": "y"})
    wait_until_ended(client, other)
    assert calls(host, name, "x") == 1 and status(client, arn) == "PAUSED"
    client.resume_durable_execution(DurableExecutionArn=arn)
    assert wait_until_ended(client, arn)["Status"] == "FAILED"
    assert attempts(client, arn) == 3


def test_pauses_that_cannot_be(host, lambda_client, blocked, make_function):
    client, (name, running) = lambda_client, blocked
    echo = make_function(name="pauses-that-cannot-be")
    ended = start(client, echo, {})
    wait_until_ended(client, ended)
    for operation in (client.pause_durable_execution, client.resume_durable_execution):
        with pytest.raises(client.exceptions.ResourceConflictException) as caught:
            operation(DurableExecutionArn=ended)
        check_error(caught, 409, "ResourceConflictException")
        with pytest.raises(ClientError) as caught:
            operation(DurableExecutionArn=running, Reason="r" * 1025)
        check_error(caught, 400, "ValidationException", "reason")
    with pytest.raises(client.exceptions.ResourceConflictException):
        client.resume_durable_execution(DurableExecutionArn=running)
    path = path_of("PauseDurableExecution", DurableExecutionArn=running)
    for body, error in (({"Why": "x"}, "InvalidParameterValueException"), ({"Reason": 1}, "SerializationException"),
                        ({"ExecutionTimeoutPaused": "yes"}, "SerializationException"),
                        ({"ClientToken": ""}, "ValidationException"), ({"ClientToken": "a b"}, "ValidationException"),
                        (b"{", "InvalidRequestContentException")):
        answer = host.request("POST", path, body)
        assert (answer.status, answer.error) == (400, error), (body, answer.body)
    assert status(client, running) == "RUNNING"
    # What is paused can be stopped.
    waiting = start(client, name, {})
    client.pause_durable_execution(DurableExecutionArn=waiting)
    paused(client, waiting)
    client.stop_durable_execution(DurableExecutionArn=waiting)
    assert wait_until_ended(client, waiting)["Status"] == "STOPPED"
