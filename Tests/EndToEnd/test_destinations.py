"""What is configured for asynchronous invocations is what happens: retries, age, destinations, each exactly once."""

import json

import pytest

from roost_host import RoostHost, until

WORK = """
def handler(event, context):
    if event.get("fail"):
        raise ValueError("as asked")
    return {"got": event}
"""
KEEP = "def handler(event, context):\n    return {'kept': event}\n"


@pytest.fixture
def host(tmp_path):
    with RoostHost(tmp_path / "data", {"retryDelaysSeconds": [0.1, 0.1]}) as host:
        yield host


def executions(host, name):
    return host.call("GET", f"/roost/v1/executions?function={name}")["Executions"]


def ended(host, name, count=1):
    def all_ended():
        found = executions(host, name)
        return len(found) >= count and all(e["Status"] not in ("QUEUED", "RUNNING") for e in found) and found

    return until(all_ended, what=f"the end of {count} executions of {name}")


def record(host, name):
    """The event that a destination got."""
    id = ended(host, name)[0]["Id"]
    return json.loads(host.call("GET", f"/roost/v1/executions/{id}")["Result"])["kept"]


def test_a_success_and_a_failure_go_where_they_should(host):
    client = host.boto3()
    arn = "arn:aws:lambda:us-east-1:000000000000:function:"
    for name in ("work", "good", "bad"):
        host.create(name, WORK if name == "work" else KEEP, publish=True)
    host.set_alias("good", "live", 1)
    client.put_function_event_invoke_config(
        FunctionName="work", MaximumRetryAttempts=1,
        DestinationConfig={"OnSuccess": {"Destination": arn + "good:live"}, "OnFailure": {"Destination": "bad"}})

    host.start_execution("work", {"x": [1, "é"]})
    got = record(host, "good")
    assert got["version"] == "1.0" and got["timestamp"].endswith("Z")
    assert got["requestContext"] == {
        "requestId": executions(host, "work")[0]["Id"], "functionArn": arn + "work:$LATEST", "condition": "Success",
        "approximateInvokeCount": 1}
    assert got["requestPayload"] == {"x": [1, "é"]}
    assert got["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}
    assert got["responsePayload"] == {"got": {"x": [1, "é"]}}
    assert executions(host, "good")[0]["Version"] == "1"
    assert executions(host, "bad") == []

    failed = host.start_execution("work", {"fail": True})
    got = record(host, "bad")
    assert got["requestContext"]["condition"] == "RetriesExhausted"
    assert got["requestContext"]["approximateInvokeCount"] == 2
    assert got["responseContext"] == {
        "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
    assert got["responsePayload"]["errorType"] == "ValueError"
    assert host.kinds(failed).count("attemptStarted") == 2
    assert host.kinds(failed)[-2:] == ["destination", "ended"]
    assert len(executions(host, "good")) == len(executions(host, "bad")) == 1


def test_a_configuration_is_that_of_the_qualifier_used_and_is_read_when_an_attempt_ends(host):
    client = host.boto3()
    host.create("work", WORK, publish=True)
    host.set_alias("work", "live", 1)
    client.put_function_event_invoke_config(FunctionName="work", Qualifier="live", MaximumRetryAttempts=0)
    by_alias = host.call("POST", "/2015-03-31/functions/work/invocations?Qualifier=live", {"fail": True},
                         {"X-Amz-Invocation-Type": "Event"})
    assert by_alias is None
    latest = host.start_execution("work", {"fail": True})
    ended(host, "work", 2)
    attempts = {e["Id"] == latest: e["Attempt"] for e in executions(host, "work")}
    assert attempts == {True: 3, False: 1}
    # It goes with its alias.
    client.delete_alias(FunctionName="work", Name="live")
    host.set_alias("work", "live", 1)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_function_event_invoke_config(FunctionName="work", Qualifier="live")


def test_an_event_that_would_be_too_old_for_its_retry_is_not_retried(tmp_path):
    with RoostHost(tmp_path / "data", {"retryDelaysSeconds": [90, 90]}) as host:
        host.create("work", WORK)
        host.create("bad", KEEP)
        host.boto3().put_function_event_invoke_config(
            FunctionName="work", MaximumEventAgeInSeconds=60,
            DestinationConfig={"OnFailure": {"Destination": "function:bad"}})
        host.start_execution("work", {"fail": True})
        got = record(host, "bad")
        assert got["requestContext"]["condition"] == "EventAgeExceeded"
        assert got["requestContext"]["approximateInvokeCount"] == 1
        assert got["responsePayload"]["errorType"] == "ValueError"


def test_no_concurrency_and_a_stop_are_told_to_the_destination(host):
    client = host.boto3()
    host.create("work", "import time\ndef handler(event, context):\n    time.sleep(60)\n", timeout=90)
    host.create("bad", KEEP)
    client.put_function_event_invoke_config(
        FunctionName="work", DestinationConfig={"OnFailure": {"Destination": "bad"}})
    host.reserve("work", 0)
    host.start_execution("work", {})
    got = record(host, "bad")
    assert got["requestContext"]["condition"] == "ZeroReservedConcurrency"
    assert got["requestContext"]["approximateInvokeCount"] == 0
    assert "responsePayload" not in got and "responseContext" not in got
    host.reserve("work", 5)
    id = host.start_execution("work", {})
    until(lambda: "attemptStarted" in host.kinds(id))
    host.call("POST", f"/roost/v1/executions/{id}/stop", {})
    ended(host, "bad", 2)
    newest = executions(host, "bad")[0]["Id"]
    got = json.loads(host.call("GET", f"/roost/v1/executions/{newest}")["Result"])["kept"]
    assert got["requestContext"]["condition"] == "Stopped"


def test_two_functions_that_are_each_others_destination_come_to_an_end(host):
    client = host.boto3()
    small = "def handler(event, context):\n    return None\n"
    host.create("a", small)
    host.create("b", small)
    for one, other in (("a", "b"), ("b", "a")):
        client.put_function_event_invoke_config(
            FunctionName=one, DestinationConfig={"OnSuccess": {"Destination": other}})
    host.start_execution("a", {})
    ended(host, "b", 8)
    found = ended(host, "a", 9) + executions(host, "b")
    assert len(found) == 17
    events = [event for e in found
              for event in host.call("GET", f"/roost/v1/executions/{e['Id']}/events")["Events"]]
    told = [event["Detail"] for event in events if event["Kind"] == "destination"]
    assert sum("execution" in detail for detail in told) == 16
    assert sum("notInvoked" in detail for detail in told) == 1


def test_a_destination_is_invoked_once_though_the_host_is_killed(tmp_path):
    with RoostHost(tmp_path / "data") as host:
        host.create("work", WORK)
        host.create("good", KEEP)
        host.boto3().put_function_event_invoke_config(
            FunctionName="work", DestinationConfig={"OnSuccess": {"Destination": "good"}})
        started = [host.start_execution("work", {"n": n}) for n in range(40)]
        until(lambda: len(executions(host, "good")) > 3)
        host.kill9()
        host.start()
        until(lambda: len(executions(host, "good")) == 40, what="40 destinations")
        ended(host, "work", 40)
        ended(host, "good", 40)
        results = [host.call("GET", f"/roost/v1/executions/{e['Id']}") for e in executions(host, "good")]
        numbers = sorted(json.loads(r["Result"])["kept"]["requestPayload"]["n"] for r in results)
        assert numbers == list(range(40)) and len(started) == 40


def test_configurations_by_boto3(host):
    client = host.boto3()
    for name in ("work", "other"):
        host.create(name, KEEP, publish=True)
    put = client.put_function_event_invoke_config(FunctionName="work", MaximumEventAgeInSeconds=60)
    assert put["FunctionArn"].endswith(":work:$LATEST") and put["LastModified"].year >= 2024
    assert put["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}} and "MaximumRetryAttempts" not in put
    changed = client.update_function_event_invoke_config(
        FunctionName="work", MaximumRetryAttempts=2, DestinationConfig={"OnSuccess": {"Destination": "other:1"}})
    assert changed["MaximumEventAgeInSeconds"] == 60 and changed["MaximumRetryAttempts"] == 2
    kept = client.update_function_event_invoke_config(
        FunctionName="work", DestinationConfig={"OnFailure": {"Destination": "other"}})
    assert kept["DestinationConfig"] == {
        "OnSuccess": {"Destination": "other:1"}, "OnFailure": {"Destination": "other"}}
    client.put_function_event_invoke_config(FunctionName="work:1", MaximumRetryAttempts=0)
    listed = client.list_function_event_invoke_configs(FunctionName="work", MaxItems=1)
    again = client.list_function_event_invoke_configs(FunctionName="work", Marker=listed["NextMarker"])
    arns = [c["FunctionArn"] for c in listed["FunctionEventInvokeConfigs"] + again["FunctionEventInvokeConfigs"]]
    assert [arn.rsplit(":", 1)[1] for arn in arns] == ["$LATEST", "1"] and "NextMarker" not in again

    def refused(message, code="InvalidParameterValueException", **parameters):
        with pytest.raises(client.exceptions.ClientError) as caught:
            client.put_function_event_invoke_config(**{"FunctionName": "work", **parameters})
        assert caught.value.response["Error"]["Code"] == code
        assert message in caught.value.response["Error"]["Message"]

    def to(destination):
        return {"DestinationConfig": {"OnFailure": {"Destination": destination}}}

    arn = "arn:aws:lambda:us-east-1:000000000000:function:"
    refused("You must specify at least one of error handling or destination setting.")
    refused("itself", **to(arn + "work"))
    refused(f"The destination ARN {arn}none is invalid.", **to(arn + "none"))
    refused("is invalid", **to(arn + "other:live"))
    refused("is not one of this host's", **to("arn:aws:sqs:us-east-1:000000000000:queue"))
    refused("maximumRetryAttempts", "ValidationException", MaximumRetryAttempts=3)
    refused("maximumEventAgeInSeconds", "ValidationException", MaximumEventAgeInSeconds=21601)
    refused("doesn't exist", "ResourceNotFoundException", FunctionName="none", MaximumRetryAttempts=1)
    refused("doesn't exist", "ResourceNotFoundException", Qualifier="7", MaximumRetryAttempts=1)
    client.delete_function_event_invoke_config(FunctionName="work")
    for call in (client.get_function_event_invoke_config, client.delete_function_event_invoke_config):
        with pytest.raises(client.exceptions.ResourceNotFoundException) as caught:
            call(FunctionName="work")
        assert caught.value.response["Error"]["Message"] == (
            f"The function {arn}work:$LATEST doesn't have an EventInvokeConfig")
    # The configurations of one function are not those of the next of its name.
    client.delete_function(FunctionName="work")
    host.create("work", KEEP, publish=True)
    assert client.list_function_event_invoke_configs(FunctionName="work")["FunctionEventInvokeConfigs"] == []
