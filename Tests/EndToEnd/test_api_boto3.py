"""The Lambda API as boto3 sees it: unmodified clients, real workers."""

import base64
import datetime
import hashlib
import json
import random
import threading
import time

import pytest
from botocore.exceptions import ClientError

from conftest import ARN, ROLE, make_zip, wait_until
from lambda_api import ACTOR, VERSIONED, check_error, failure, invoke, result, wait_until_ended

ACCOUNT = "000000000000"


# MARK: the main job

def test_the_main_job_of_versions_and_aliases(host, lambda_client, make_function):
    client, name = lambda_client, make_function(VERSIONED % "one")

    def through_alias():
        response = client.invoke(FunctionName=name, Qualifier="live", Payload=b"{}")
        return result(response), response["ExecutedVersion"]

    response = client.invoke(FunctionName=name, Payload=b"{}")
    assert (result(response), response["ExecutedVersion"]) == ("one", "$LATEST")
    assert client.publish_version(FunctionName=name)["Version"] == "1"
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    assert through_alias() == ("one", "1")

    updated = client.update_function_code(FunctionName=name, ZipFile=make_zip({"function.py": VERSIONED % "two"}))
    assert updated["Version"] == "$LATEST"
    # What is published does not change with $LATEST.
    assert through_alias() == ("one", "1")
    assert result(client.invoke(FunctionName=name)) == "two"
    assert client.publish_version(FunctionName=name)["Version"] == "2"
    assert through_alias() == ("one", "1")

    client.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    assert through_alias() == ("two", "2")

    path = f"/roost/v1/functions/{name}/aliases/live"
    back = host.request("POST", path + "/rollback", {"Why": "two is worse"})
    assert back.status == 200 and back.json["FunctionVersion"] == "1"
    assert through_alias() == ("one", "1")
    history = host.request("GET", path + "/history").json["History"]
    assert history[0]["Why"] == "two is worse" and len(history) == 3
    # There is nothing further back, and going back again does not toggle.
    again = host.request("POST", path + "/rollback", {})
    assert (again.status, again.error) == (409, "NothingToRollBack")
    assert through_alias() == ("one", "1")

    client.delete_function(FunctionName=name)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_function(FunctionName=name)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        through_alias()


def test_a_rollback_undoes_weights_too_and_goes_one_further_back_each_time(host, lambda_client, make_function):
    client, name = lambda_client, make_function()
    for _ in range(3):
        client.update_function_code(FunctionName=name, ZipFile=make_zip({"function.py": VERSIONED % 0}), Publish=True)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    weights = {"AdditionalVersionWeights": {"2": 0.25}}
    client.update_alias(FunctionName=name, Name="live", RoutingConfig=weights)
    client.update_alias(FunctionName=name, Name="live", FunctionVersion="3", RoutingConfig={})
    assert "RoutingConfig" not in client.get_alias(FunctionName=name, Name="live")

    def roll_back():
        answer = host.request("POST", f"/roost/v1/functions/{name}/aliases/live/rollback", {})
        assert answer.status == 200, answer.body
        alias = client.get_alias(FunctionName=name, Name="live")
        return alias["FunctionVersion"], alias.get("RoutingConfig")

    assert roll_back() == ("1", weights)
    assert roll_back() == ("1", None)
    answer = host.request("POST", f"/roost/v1/functions/{name}/aliases/live/rollback", {})
    assert answer.status == 409
    # A change after that can be undone as the first one could.
    client.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    assert roll_back() == ("1", None)


# MARK: functions

def test_what_is_created_is_described_as_it_was_asked_for(lambda_client, make_function):
    package = make_zip({"function.py": ACTOR})
    name = make_function(
        ACTOR, Description="all that can be said", Timeout=86400, MemorySize=192,
        Environment={"Variables": {"COLOUR": "grün"}})
    found = lambda_client.get_function(FunctionName=name)
    configuration = found["Configuration"]
    assert {key: configuration[key] for key in (
        "FunctionName", "FunctionArn", "Runtime", "Role", "Handler", "Description", "Timeout", "MemorySize", "Version",
        "State", "LastUpdateStatus", "PackageType", "Environment", "CodeSha256", "EphemeralStorage")} == {
        "FunctionName": name, "FunctionArn": ARN + name, "Runtime": "python3", "Role": ROLE,
        "Handler": "function.handler", "Description": "all that can be said", "Timeout": 86400, "MemorySize": 192,
        "Version": "$LATEST", "State": "Active", "LastUpdateStatus": "Successful", "PackageType": "Zip",
        "Environment": {"Variables": {"COLOUR": "grün"}}, "EphemeralStorage": {"Size": 512},
        "CodeSha256": base64.b64encode(hashlib.sha256(package).digest()).decode()}
    datetime.datetime.strptime(configuration["LastModified"], "%Y-%m-%dT%H:%M:%S.%f%z")
    metadata = ("ResponseMetadata",)
    alone = lambda_client.get_function_configuration(FunctionName=name)
    assert {k: v for k, v in alone.items() if k not in metadata} == configuration
    listed = next(f for f in lambda_client.list_functions()["Functions"] if f["FunctionName"] == name)
    assert listed == {k: v for k, v in configuration.items() if k not in ("State", "LastUpdateStatus")}
    assert result(invoke(lambda_client, name, {"do": "environment", "name": "COLOUR"})) == "grün"


def test_defaults_are_those_of_lambda(lambda_client, make_function):
    configuration = lambda_client.get_function(FunctionName=make_function())["Configuration"]
    assert (configuration["Timeout"], configuration["MemorySize"], configuration["Description"]) == (3, 128, "")
    assert "Environment" not in configuration


def test_a_configuration_takes_effect_at_once_and_leaves_versions_alone(lambda_client, make_function):
    client, name = lambda_client, make_function(ACTOR, Environment={"Variables": {"COLOUR": "red"}})
    question = {"do": "environment", "name": "COLOUR"}
    client.publish_version(FunctionName=name)
    before = result(invoke(client, name, {}))
    updated = client.update_function_configuration(
        FunctionName=name, Environment={"Variables": {"COLOUR": "blue"}}, Timeout=7, Description="changed")
    assert (updated["Timeout"], updated["Description"], updated["Handler"]) == (7, "changed", "function.handler")
    assert result(invoke(client, name, question)) == "blue"
    assert result(invoke(client, name, question, Qualifier="1")) == "red"
    assert client.get_function(FunctionName=name, Qualifier="1")["Configuration"]["Timeout"] == 3
    assert result(invoke(client, name, {})) != before


@pytest.mark.parametrize("waiter", [
    "function_exists", "function_active", "function_active_v2", "function_updated", "function_updated_v2"])
def test_waiters_are_satisfied_at_once(lambda_client, make_function, waiter):
    name = make_function()
    lambda_client.update_function_configuration(FunctionName=name, Timeout=4)
    lambda_client.get_waiter(waiter).wait(FunctionName=name, WaiterConfig={"Delay": 0, "MaxAttempts": 1})


def test_the_waiter_for_a_published_version(lambda_client, make_function):
    name = make_function()
    lambda_client.publish_version(FunctionName=name)
    lambda_client.get_waiter("published_version_active").wait(
        FunctionName=name, Qualifier="1", WaiterConfig={"Delay": 0, "MaxAttempts": 1})


@pytest.mark.parametrize("options, code, message", [
    ({"Runtime": "cobol"}, "InvalidParameterValueException", "python3"),
    ({"Runtime": "python3.99"}, "InvalidParameterValueException", "3.99"),
    ({"Layers": [ARN.replace("function", "layer") + "l:1"]}, "InvalidParameterValueException", "Layers"),
    ({"DurableConfig": {"ExecutionTimeout": 60}}, "InvalidParameterValueException", "DurableConfig"),
    ({"EphemeralStorage": {"Size": 1024}}, "InvalidParameterValueException", "EphemeralStorage"),
    ({"Role": "nobody"}, "ValidationException", "role"),
    ({"FunctionName": "a.b"}, "ValidationException", "functionName"),
    ({"FunctionName": "n" * 65}, "InvalidParameterValueException", "64"),
    ({"FunctionName": "a:live"}, "InvalidParameterValueException", None),
    ({"Description": "d" * 257}, "ValidationException", "description"),
    ({"MemorySize": 1 << 30}, "ValidationException", "memorySize"),
    ({"Timeout": 1 << 30}, "ValidationException", "timeout"),
    ({"Environment": {"Variables": {"1A": "x"}}}, "ValidationException", "environment"),
    ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, "InvalidParameterValueException", "AWS_REGION"),
    ({"Environment": {"Variables": {"ROOST_NO": "x"}}}, "InvalidParameterValueException", "ROOST_NO"),
    ({"Environment": {"Variables": {"AA": "x" * 100_000}}}, "InvalidParameterValueException", "environment"),
    ({"Code": {"S3Bucket": "bbb", "S3Key": "k"}}, "InvalidParameterValueException", "S3"),
    ({"Code": {"ZipFile": b"no zip"}}, "InvalidParameterValueException", "unzip"),
], ids=lambda value: None if not isinstance(value, dict) else next(iter(value)))
def test_what_cannot_be_honoured_is_refused_and_makes_nothing(lambda_client, options, code, message):
    request = {"FunctionName": "refused", "Role": ROLE, "Runtime": "python3", "Handler": "function.handler",
               "Code": {"ZipFile": make_zip({"function.py": ACTOR})}, **options}
    with pytest.raises(ClientError) as caught:
        lambda_client.create_function(**request)
    check_error(caught, 400, code, message)
    names = [function["FunctionName"] for function in lambda_client.list_functions()["Functions"]]
    assert request["FunctionName"].split(":")[0] not in names


@pytest.mark.parametrize("operation, parameters", [
    ("list_layers", {}), ("list_event_source_mappings", {}), ("list_code_signing_configs", {}),
    ("send_durable_execution_callback_heartbeat", {"CallbackId": "c"}),
])
def test_operations_that_are_not_there_are_unknown_and_not_faults(lambda_client, operation, parameters):
    with pytest.raises(ClientError) as caught:
        getattr(lambda_client, operation)(**parameters)
    check_error(caught, 404, "UnknownOperationException")


# MARK: names

def test_every_way_to_name_a_function(lambda_client, make_function):
    client, name = lambda_client, make_function(ACTOR)
    client.publish_version(FunctionName=name)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    for form in (name, f"function:{name}", f"{ACCOUNT}:function:{name}", ARN + name):
        for qualifier, version in ((None, "$LATEST"), ("$LATEST", "$LATEST"), ("1", "1"), ("live", "1")):
            full = f"{form}:{qualifier}" if qualifier else form
            context = result(invoke(client, full, {"do": "context"}))
            suffix = f":{qualifier}" if qualifier else ""
            assert context["function_version"] == version
            assert context["invoked_function_arn"] == ARN + name + suffix
            found = client.get_function_configuration(FunctionName=full)
            assert (found["Version"], found["FunctionArn"]) == (version, ARN + name + suffix)
            if qualifier:
                # The same qualifier twice is no conflict, and alone it means the same.
                assert invoke(client, full, {}, Qualifier=qualifier)["ExecutedVersion"] == version
                assert invoke(client, form, {}, Qualifier=qualifier)["ExecutedVersion"] == version
    other = client.get_function(FunctionName=f"arn:aws:lambda:us-east-1:123456789012:function:{name}")
    assert other["Configuration"]["FunctionArn"] == ARN + name  # any account is taken; there is one


def test_two_qualifiers_that_differ_are_refused(lambda_client, make_function):
    name = make_function()
    lambda_client.publish_version(FunctionName=name)
    for call in (lambda_client.invoke, lambda_client.get_function):
        with pytest.raises(lambda_client.exceptions.InvalidParameterValueException) as caught:
            call(FunctionName=f"{name}:1", Qualifier="$LATEST")
        check_error(caught, 400, "InvalidParameterValueException",
                    "The derived qualifier from the function name does not match the specified qualifier.")


def test_names_that_are_none(lambda_client, make_function):
    name = make_function()
    with pytest.raises(ClientError) as caught:
        lambda_client.invoke(FunctionName="no name!")
    check_error(caught, 400, "ValidationException", "Value 'no name!' at 'functionName' failed to satisfy constraint")
    with pytest.raises(ClientError) as caught:
        lambda_client.invoke(FunctionName=name, Qualifier="no qualifier!")
    check_error(caught, 400, "ValidationException", "qualifier")
    with pytest.raises(ClientError) as caught:
        lambda_client.invoke(FunctionName="no name!", Qualifier="nor qualifier!")
    check_error(caught, 400, "ValidationException", "2 validation errors detected: ")
    with pytest.raises(ClientError) as caught:
        lambda_client.get_function(FunctionName=f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:{name}")
    check_error(caught, 404, "ResourceNotFoundException",
                "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')")
    for operation in (lambda_client.publish_version, lambda_client.list_versions_by_function,
                      lambda_client.list_aliases, lambda_client.get_function_concurrency):
        with pytest.raises(ClientError) as caught:
            operation(FunctionName=f"{name}:$LATEST")
        check_error(caught, 400, "InvalidParameterValueException")


# MARK: modelled errors

@pytest.mark.parametrize("operation, parameters, suffix", [
    ("get_function", {}, ""), ("get_function", {"Qualifier": "7"}, ":7"), ("get_function_configuration", {}, ""),
    ("delete_function", {}, ""), ("update_function_configuration", {}, ""), ("publish_version", {}, ""),
    ("update_function_code", {"ZipFile": b"PK"}, ""), ("list_versions_by_function", {}, ""), ("list_aliases", {}, ""),
    ("create_alias", {"Name": "a", "FunctionVersion": "1"}, ""), ("invoke", {}, ":$LATEST"),
    ("invoke", {"Qualifier": "live"}, ":live"), ("invoke", {"InvocationType": "Event"}, ":$LATEST"),
    ("invoke", {"InvocationType": "DryRun"}, ":$LATEST"), ("get_function_concurrency", {}, ":$LATEST"),
    ("put_function_concurrency", {"ReservedConcurrentExecutions": 1}, ":$LATEST"),
    ("list_durable_executions_by_function", {}, None),
])
def test_a_function_that_is_not_there(lambda_client, operation, parameters, suffix):
    with pytest.raises(lambda_client.exceptions.ResourceNotFoundException) as caught:
        getattr(lambda_client, operation)(FunctionName="nowhere", **parameters)
    check_error(caught, 404, "ResourceNotFoundException")
    # The member that the service's model has, and that user code reads.
    assert caught.value.response["Message"] == caught.value.response["Error"]["Message"]
    if suffix is not None:
        assert caught.value.response["Message"] == f"Function not found: {ARN}nowhere{suffix}"


def test_versions_and_aliases_that_are_not_there(lambda_client, make_function):
    client, name = lambda_client, make_function()
    missing = client.exceptions.ResourceNotFoundException
    with pytest.raises(missing) as caught:
        client.invoke(FunctionName=name, Qualifier="live")
    assert caught.value.response["Message"] == f"Function not found: {ARN}{name}:live"
    with pytest.raises(missing):
        client.invoke(FunctionName=name, Qualifier="3")
    with pytest.raises(missing) as caught:
        client.get_alias(FunctionName=name, Name="live")
    assert caught.value.response["Message"] == f"Cannot find alias arn: {ARN}{name}:live"
    with pytest.raises(missing) as caught:
        client.update_alias(FunctionName=name, Name="live", Description="d")
    assert caught.value.response["Message"] == f"Alias not found: {ARN}{name}:live"
    with pytest.raises(missing):
        client.create_alias(FunctionName=name, Name="live", FunctionVersion="3")
    assert client.delete_alias(FunctionName=name, Name="live")["ResponseMetadata"]["HTTPStatusCode"] == 204
    with pytest.raises(missing):
        client.get_durable_execution(
            DurableExecutionArn=f"{ARN}{name}:$LATEST/durable-execution/some/00000000-0000-4000-8000-000000000000")


def test_conflicts(lambda_client, make_function):
    client, name = lambda_client, make_function()
    conflict = client.exceptions.ResourceConflictException
    with pytest.raises(conflict) as caught:
        make_function(name=name)
    check_error(caught, 409, "ResourceConflictException", f"Function already exist: {name}")
    assert caught.value.response["message"] == f"Function already exist: {name}"
    client.publish_version(FunctionName=name)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    with pytest.raises(conflict) as caught:
        client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    check_error(caught, 409, "ResourceConflictException", f"Alias already exists: {ARN}{name}:live")
    with pytest.raises(conflict):
        client.delete_function(FunctionName=name, Qualifier="1")
    with pytest.raises(client.exceptions.InvalidParameterValueException) as caught:
        client.delete_function(FunctionName=name, Qualifier="$LATEST")
    check_error(caught, 400, "InvalidParameterValueException",
                "$LATEST version cannot be deleted without deleting the function.")
    with pytest.raises(client.exceptions.InvalidParameterValueException) as caught:
        client.delete_function(FunctionName=name, Qualifier="live")
    check_error(caught, 400, "InvalidParameterValueException", "Deletion of aliases is not currently supported.")


def test_revisions_guard_against_lost_updates(lambda_client, make_function):
    client, name = lambda_client, make_function()
    stale = client.get_function(FunctionName=name)["Configuration"]["RevisionId"]
    fresh = client.update_function_configuration(FunctionName=name, Timeout=5, RevisionId=stale)["RevisionId"]
    assert fresh != stale
    client.publish_version(FunctionName=name)
    alias = client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    package = make_zip({"function.py": ACTOR})
    for operation, parameters in (
            (client.update_function_configuration, {"Timeout": 6}), (client.update_function_code, {"ZipFile": package}),
            (client.publish_version, {}), (client.update_alias, {"Name": "live", "Description": "d"})):
        with pytest.raises(client.exceptions.PreconditionFailedException) as caught:
            operation(FunctionName=name, RevisionId=stale, **parameters)
        check_error(caught, 412, "PreconditionFailedException", "The Revision Id provided does not match")
        assert caught.value.response["message"] == caught.value.response["Error"]["Message"]
    assert client.get_function(FunctionName=name)["Configuration"]["Timeout"] == 5
    moved = client.update_alias(FunctionName=name, Name="live", Description="d", RevisionId=alias["RevisionId"])
    assert moved["RevisionId"] != alias["RevisionId"]


@pytest.mark.parametrize("kind, limit", [("RequestResponse", 6 << 20), ("Event", 1 << 20)])
def test_a_payload_over_the_limit_is_too_large_and_at_the_limit_is_not(lambda_client, make_function, kind, limit):
    name = make_function("def handler(event, context):\n    return len(event)\n", Timeout=30)
    with pytest.raises(lambda_client.exceptions.RequestTooLargeException) as caught:
        lambda_client.invoke(FunctionName=name, InvocationType=kind, Payload=b'"' + b"x" * (limit - 1) + b'"')
    check_error(caught, 413, "RequestTooLargeException",
                f"{limit + 1} byte payload is too large for the {kind} invocation type (limit {limit} bytes)")
    response = lambda_client.invoke(
        FunctionName=name, InvocationType=kind, Payload=b'"' + b"x" * (limit - 2) + b'"')
    if kind == "Event":
        assert response["StatusCode"] == 202
    else:
        assert result(response) == limit - 2


def test_reserved_concurrency_of_zero_switches_a_function_off(lambda_client, make_function):
    client, name = lambda_client, make_function()
    assert "ReservedConcurrentExecutions" not in client.get_function_concurrency(FunctionName=name)
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    assert client.get_function_concurrency(FunctionName=name)["ReservedConcurrentExecutions"] == 0
    assert client.get_function(FunctionName=name)["Concurrency"] == {"ReservedConcurrentExecutions": 0}
    with pytest.raises(client.exceptions.TooManyRequestsException) as caught:
        client.invoke(FunctionName=name)
    check_error(caught, 429, "TooManyRequestsException", "Rate Exceeded.")
    response = caught.value.response
    assert response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert int(response["retryAfterSeconds"]) > 0
    # A dry run comes before concurrency; an event is accepted, and fails.
    assert client.invoke(FunctionName=name, InvocationType="DryRun")["StatusCode"] == 204
    arn = client.invoke(FunctionName=name, InvocationType="Event")["DurableExecutionArn"]
    ended = wait_until_ended(client, arn)
    assert ended["Status"] == "FAILED"
    client.delete_function_concurrency(FunctionName=name)
    assert result(client.invoke(FunctionName=name)) == {}


def test_bad_payloads_and_client_contexts(lambda_client, make_function):
    name = make_function()
    for payload in (b"{", b"nonsense", b'{"a":1,}', b"\xff", b'"\x01"', b"1 2", b" "):
        for kind in ("RequestResponse", "Event", "DryRun"):
            with pytest.raises(lambda_client.exceptions.InvalidRequestContentException) as caught:
                lambda_client.invoke(FunctionName=name, Payload=payload, InvocationType=kind)
            check_error(caught, 400, "InvalidRequestContentException", "Could not parse request body into json")
    for context in ("%%%", base64.b64encode(b"no json").decode(), base64.b64encode(b"[1]").decode()):
        with pytest.raises(lambda_client.exceptions.InvalidRequestContentException) as caught:
            lambda_client.invoke(FunctionName=name, ClientContext=context)
        check_error(caught, 400, "InvalidRequestContentException",
                    "Client context must be a valid Base64-encoded JSON object.")


# MARK: invocations

@pytest.mark.parametrize("payload, expected", [
    (None, {}), (b"", {}), (b"5", 5), (b"null", None), (b"true", True), (b'"text"', "text"), (b"[]", []),
    ('{"世": "界 \U0001f600"}'.encode(), {"世": "界 \U0001f600"}), (b'"\\ud800"', "\ud800"), (b'"\\u0000"', "\0"),
    (b"123456789012345678901234567890", 123456789012345678901234567890), (b" \t\r\n{ } \n", {}),
    (b"[" * 200 + b"]" * 200, json.loads("[" * 200 + "]" * 200)),
], ids=repr)
def test_values_of_every_kind_go_through(lambda_client, echo, payload, expected):
    response = lambda_client.invoke(FunctionName=echo, **({} if payload is None else {"Payload": payload}))
    assert response["StatusCode"] == 200
    assert result(response) == expected


@pytest.fixture(scope="module")
def echo(lambda_client):
    lambda_client.create_function(
        FunctionName="echo", Role=ROLE, Runtime="python3", Handler="function.handler",
        Code={"ZipFile": make_zip({"function.py": "def handler(event, context):\n    return event\n"})})
    return "echo"


def test_a_function_that_returns_nothing_answers_null(lambda_client, make_function):
    name = make_function("def handler(event, context):\n    pass\n")
    assert lambda_client.invoke(FunctionName=name)["Payload"].read() == b"null"


def test_a_dry_run_runs_nothing(host, lambda_client, make_function):
    name = make_function()
    response = lambda_client.invoke(FunctionName=name, InvocationType="DryRun", Payload=b"{}")
    assert response["StatusCode"] == 204 and response["Payload"].read() == b""
    assert host.workers(name) == []


def test_the_context_is_that_of_the_invocation(lambda_client, make_function):
    name = make_function(ACTOR, MemorySize=160)
    response = invoke(lambda_client, name, {"do": "context"})
    context = result(response)
    assert context == {
        "aws_request_id": response["ResponseMetadata"]["RequestId"], "invoked_function_arn": ARN + name,
        "function_name": name, "function_version": "$LATEST", "memory_limit_in_mb": context["memory_limit_in_mb"]}
    assert str(context["memory_limit_in_mb"]) == "160"


def test_the_client_context_reaches_the_function(lambda_client, make_function):
    name = make_function(ACTOR)
    context = {"custom": {"who": "世界"}, "env": {"locale": "de"}, "client": {"app_title": "t"}}
    text = base64.b64encode(json.dumps(context).encode()).decode()
    answer = result(invoke(lambda_client, name, {"do": "client context"}, ClientContext=text))
    assert answer == {"custom": {"who": "世界"}, "env": {"locale": "de"}}
    assert result(invoke(lambda_client, name, {"do": "client context"})) is None


def test_the_log_tail_has_the_lines_of_the_invocation_and_its_report(lambda_client, make_function):
    name = make_function(ACTOR)

    def tail(event):
        response = invoke(lambda_client, name, event, LogType="Tail")
        request_id = response["ResponseMetadata"]["RequestId"]
        return request_id, base64.b64decode(response["LogResult"]).decode(errors="replace")

    request_id, text = tail({"do": "print", "text": "one\ntwo\n"})
    start, *printed, end, report = text.rstrip("\n").split("\n")
    assert start == f"START RequestId: {request_id} Version: $LATEST"
    assert printed == ["one", "two"]
    assert end == f"END RequestId: {request_id}"
    fields = dict(field.split(": ") for field in report.rstrip("\t").split("\t"))
    assert fields["REPORT RequestId"] == request_id
    assert fields["Memory Size"] == "128 MB"
    # Python itself takes some.
    assert 5 <= int(fields["Max Memory Used"].removesuffix(" MB")) < 500
    assert float(fields["Duration"].removesuffix(" ms")) <= int(fields["Billed Duration"].removesuffix(" ms"))
    assert fields["Init Duration"].endswith(" ms")
    assert fields["Start Cause"] == "first"
    # The second is warm, and has no line of the first.
    _, text = tail({"do": "print", "text": "three\n"})
    assert "three" in text and "two" not in text and "Init Duration" not in text and "Start Cause" not in text
    # The end is kept, and cut at the byte.
    request_id, text = tail({"do": "print", "text": "".join(f"line {n}\n" for n in range(2000))})
    assert len(text) == 4096 and "line 1999\nEND" in text and "START" not in text and "REPORT" in text
    # An error has a tail too.
    _, text = tail({"do": "raise", "what": "luck"})
    assert "END RequestId" in text
    assert "LogResult" not in invoke(lambda_client, name, {})
    assert "LogResult" not in invoke(lambda_client, name, {}, LogType="None")


def test_an_unfinished_line_belongs_to_its_own_invocation(lambda_client, make_function):
    name = make_function(ACTOR)

    def tail(text):
        response = invoke(lambda_client, name, {"do": "print", "text": text}, LogType="Tail")
        return base64.b64decode(response["LogResult"]).decode().split("\n")[1:-3]

    assert tail("no end") == ["no end"]
    # Another caller's log has nothing of it.
    assert tail("whole\n") == ["whole"]
    assert tail("\none\n\ntwo") == ["", "one", "", "two"]


def test_timing_is_told(host, make_function):
    name = make_function()
    path = f"/2015-03-31/functions/{name}/invocations"
    cold, warm = (host.request("POST", path, {}).headers["Roost-Timing"] for _ in range(2))
    assert [part.split("=")[0] for part in cold.split(";")] == ["queue", "init", "run"]
    assert [part.split("=")[0] for part in warm.split(";")] == ["queue", "run"]
    assert all(float(part.split("=")[1]) >= 0 for part in (cold + ";" + warm).split(";"))


def test_an_update_does_not_disturb_what_runs(lambda_client, make_function, host):
    name = make_function(ACTOR, Timeout=20)
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(result(invoke(host.client(), name, {"do": "sleep", "seconds": 1}))))
    thread.start()
    wait_until(lambda: any(worker["State"] == "busy" for worker in host.workers(name)), "a busy worker")
    lambda_client.update_function_code(FunctionName=name, ZipFile=make_zip({"function.py": VERSIONED % "new"}))
    assert result(invoke(lambda_client, name, {})) == "new"
    thread.join(10)
    assert isinstance(answers[0], str)
    wait_until(lambda: len(host.workers(name)) == 1, "the old worker to be gone")


# MARK: function errors

def test_an_exception_is_told_with_type_message_and_trace(lambda_client, make_function):
    name = make_function(ACTOR)
    response = invoke(lambda_client, name, {"do": "raise", "what": "luck"})
    assert response["ExecutedVersion"] == "$LATEST"
    error = failure(response)
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "no luck")
    assert error["requestId"] == response["ResponseMetadata"]["RequestId"]
    assert any("handler" in line for line in error["stackTrace"])
    # The worker goes on.
    first, second = (result(invoke(lambda_client, name, {})) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("event, error_type, message", [
    ({"do": "exit", "code": 0}, "Runtime.ExitError", "Runtime exited without providing a reason"),
    ({"do": "exit", "code": 3}, "Runtime.ExitError", "Runtime exited with error: exit status 3"),
    ({"do": "sys.exit", "code": 4}, "Runtime.ExitError", "Runtime exited with error: exit status 4"),
    ({"do": "kill"}, "Runtime.ExitError", "Runtime exited with error: signal: killed"),
    ({"do": "sleep", "seconds": 60}, "Sandbox.Timedout", "Task timed out after 1.00 seconds"),
], ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "")
def test_a_worker_that_ends_is_a_function_error_and_is_replaced(
        lambda_client, make_function, event, error_type, message):
    name = make_function(ACTOR, Timeout=1)
    before = result(invoke(lambda_client, name, {}))
    response = invoke(lambda_client, name, event)
    request_id = response["ResponseMetadata"]["RequestId"]
    assert failure(response) == {"errorType": error_type, "errorMessage": f"RequestId: {request_id} Error: {message}"}
    assert result(invoke(lambda_client, name, {})) != before


def test_a_result_over_the_limit_is_a_function_error(lambda_client, make_function):
    name = make_function(ACTOR, Timeout=30)
    assert len(result(invoke(lambda_client, name, {"do": "large", "bytes": 6 << 20}))) == 6 << 20
    response = invoke(lambda_client, name, {"do": "large", "bytes": 7_000_000})
    assert failure(response) == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes)."}
    assert isinstance(result(invoke(lambda_client, name, {})), str)


@pytest.mark.parametrize("source, handler, error_type", [
    ("raise RuntimeError('broken')", "function.handler", "RuntimeError"),
    ("import nothing_of_this_name", "function.handler", "Runtime.ImportModuleError"),
    ("def handler(:", "function.handler", "Runtime.UserCodeSyntaxError"),
    ("other = 1", "function.handler", "Runtime.HandlerNotFound"),
    ("other = 1", "elsewhere.handler", "Runtime.ImportModuleError"),
    ("import os; os._exit(5)", "function.handler", "Runtime.ExitError"),
    ("import os; os._exit(0)", "function.handler", "Runtime.ExitError"),
], ids=lambda value: value if value.startswith("Runtime") else "")
def test_an_init_that_fails_is_a_function_error(lambda_client, make_function, source, handler, error_type):
    name = make_function(source, Handler=handler)
    response = lambda_client.invoke(FunctionName=name)
    error = failure(response)
    assert error["errorType"] == error_type
    if error_type == "Runtime.ExitError":
        reason = "with error: exit status 5" if "5" in source else "without providing a reason"
        request_id = response["ResponseMetadata"]["RequestId"]
        assert error["errorMessage"] == f"RequestId: {request_id} Error: Runtime exited {reason}"
    # Repaired code is not held back by the failures of the old.
    lambda_client.update_function_code(FunctionName=name, ZipFile=make_zip(
        {"function.py": VERSIONED % "works", "elsewhere.py": VERSIONED % "works"}))
    assert result(lambda_client.invoke(FunctionName=name)) == "works"


def test_an_init_that_takes_too_long_is_a_function_error(lambda_client, make_function):
    name = make_function("import time\ntime.sleep(60)\n", Environment={"Variables": {"ROOST_INIT_TIMEOUT": "1"}})
    error = failure(lambda_client.invoke(FunctionName=name))
    assert error["errorType"] in ("Sandbox.Timedout", "Runtime.InitTimeout", "Runtime.ExitError")


# MARK: workers

def test_a_worker_sees_little_of_the_machine(host, lambda_client, make_function):
    name = make_function("""
import os, socket

def attempt(what):
    try:
        return what() is None or "done"
    except OSError as error:
        return type(error).__name__

def handler(event, context):
    return {
        "uid": os.getuid(), "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
        "data": os.path.exists(event["data"]), "variables": sorted(os.environ),
        "write task": attempt(lambda: open("/var/task/x", "w")), "write usr": attempt(lambda: open("/usr/x", "w")),
        "write tmp": attempt(lambda: open("/tmp/x", "w")), "shadow": attempt(lambda: open("/etc/shadow")),
        "tmpdir": attempt(lambda: open(os.environ["TMPDIR"] + "/y", "w")),
        "host": attempt(lambda: socket.create_connection(("127.0.0.1", event["port"]), 2)),
    }
""")
    seen = result(invoke(lambda_client, name, {"data": str(host.data), "port": host.port}))
    assert seen["uid"] != 0 and seen["processes"] < 5 and not seen["data"]
    assert seen["write task"] != "done" and seen["write usr"] != "done" and seen["shadow"] != "done"
    assert seen["write tmp"] == seen["tmpdir"] == "done"
    # It has a loopback of its own.
    assert seen["host"] == "ConnectionRefusedError"
    # Nothing of the host's environment, and what Lambda has.
    assert not [name for name in seen["variables"] if name.startswith(("PYTEST", "ROOST_BINARY", "SUDO", "SSH"))]
    assert {"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_REGION",
            "LAMBDA_TASK_ROOT", "_HANDLER", "TZ"} <= set(seen["variables"])


def test_many_clients_at_once_meet_modelled_errors_only(host, lambda_client):
    """Two functions are made, changed, called and deleted by eight clients that know nothing of each other."""
    expected = {"ResourceNotFoundException", "ResourceConflictException"}
    end = time.monotonic() + 3
    wrong, invoked = [], []

    def work(seed):
        chance, client = random.Random(seed), host.client()
        package = make_zip({"function.py": "def handler(event, context):\n    return event\n"})
        while time.monotonic() < end:
            name = chance.choice(["busy-0", "busy-1"])
            verb = chance.choice([
                "create", "delete", "invoke", "invoke", "invoke", "alias", "configure", "code", "event"])
            try:
                match verb:
                    case "create":
                        client.create_function(FunctionName=name, Role=ROLE, Runtime="python3", Timeout=20,
                                               Handler="function.handler", Code={"ZipFile": package})
                    case "delete" if chance.random() < 0.3:
                        client.delete_function(FunctionName=name)
                    case "invoke":
                        payload = client.invoke(FunctionName=name, Payload=b"[1]")["Payload"].read()
                        (invoked if payload == b"[1]" else wrong).append(payload)
                    case "alias":
                        version = client.publish_version(FunctionName=name)["Version"]
                        try:
                            client.update_alias(FunctionName=name, Name="live", FunctionVersion=version)
                        except client.exceptions.ResourceNotFoundException:
                            client.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
                    case "configure":
                        client.update_function_configuration(FunctionName=name, Description=str(chance.random()))
                    case "code":
                        client.update_function_code(FunctionName=name, ZipFile=package)
                    case "event":
                        client.invoke(FunctionName=name, InvocationType="Event", Payload=b"[2]")
            except ClientError as error:
                if error.response["Error"]["Code"] not in expected:
                    wrong.append((verb, error))
            except Exception as error:
                wrong.append((verb, error))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong and invoked
    for name in ("busy-0", "busy-1"):
        try:
            lambda_client.delete_function(FunctionName=name)
        except lambda_client.exceptions.ResourceNotFoundException:
            pass
    wait_until(lambda: not host.workers("busy-0") and not host.workers("busy-1"), "their workers to be gone")


# MARK: versions

def test_publishing_without_a_change_names_the_last_version(lambda_client, make_function):
    client, name = lambda_client, make_function()
    first = client.publish_version(FunctionName=name, Description="first")
    assert first["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (first["Version"], first["Description"], first["FunctionArn"]) == ("1", "first", f"{ARN}{name}:1")
    again = client.publish_version(FunctionName=name, Description="again")
    assert again["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (again["Version"], again["Description"]) == ("1", "first")
    # An update counts, also one with the same bytes.
    client.update_function_code(FunctionName=name, ZipFile=make_zip({"function.py": VERSIONED % 1}))
    assert client.publish_version(FunctionName=name)["Version"] == "2"
    client.update_function_code(FunctionName=name, ZipFile=make_zip({"function.py": VERSIONED % 1}))
    assert client.publish_version(FunctionName=name)["Version"] == "3"
    updated = client.update_function_code(
        FunctionName=name, ZipFile=make_zip({"function.py": VERSIONED % 1}), Publish=True)
    assert (updated["Version"], updated["FunctionArn"]) == ("4", f"{ARN}{name}:4")


def test_a_digest_guards_what_is_published(lambda_client, make_function):
    client, name = lambda_client, make_function()
    current = client.get_function(FunctionName=name)["Configuration"]["CodeSha256"]
    other = base64.b64encode(bytes(32)).decode()
    with pytest.raises(client.exceptions.InvalidParameterValueException) as caught:
        client.publish_version(FunctionName=name, CodeSha256=other)
    check_error(caught, 400, "InvalidParameterValueException",
                f"CodeSHA256 ({other}) is different from current CodeSHA256 in $LATEST ({current}). "
                "Please try again with the CodeSHA256 in $LATEST.")
    assert client.publish_version(FunctionName=name, CodeSha256=current)["Version"] == "1"


def test_a_dry_run_of_an_update_changes_nothing(lambda_client, make_function):
    client, name = lambda_client, make_function(VERSIONED % "old")
    before = client.get_function(FunctionName=name)["Configuration"]
    package = make_zip({"function.py": VERSIONED % "new"})
    client.update_function_code(FunctionName=name, ZipFile=package, DryRun=True, Publish=True)
    assert client.get_function(FunctionName=name)["Configuration"] == before
    assert len(client.list_versions_by_function(FunctionName=name)["Versions"]) == 1
    assert result(client.invoke(FunctionName=name)) == "old"


def test_a_function_may_be_published_when_it_is_created(lambda_client, make_function):
    client, name = lambda_client, make_function(Publish=True)
    versions = client.list_versions_by_function(FunctionName=name)["Versions"]
    assert [(v["Version"], v["FunctionArn"]) for v in versions] == [
        ("$LATEST", f"{ARN}{name}:$LATEST"), ("1", f"{ARN}{name}:1")]


def test_numbers_of_versions_are_never_used_again(lambda_client, make_function):
    client, name = lambda_client, make_function(Publish=True)
    client.delete_function(FunctionName=name, Qualifier="1")
    # One that is not there any more is no error, and nothing else is gone.
    client.delete_function(FunctionName=name, Qualifier="1")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName=name, Qualifier="1")
    client.update_function_configuration(FunctionName=name, Timeout=4)
    assert client.publish_version(FunctionName=name)["Version"] == "2"
    client.delete_function(FunctionName=name)
    make_function(name=name)
    assert client.publish_version(FunctionName=name)["Version"] == "3"


# MARK: aliases

def test_weights_decide_which_version_answers(lambda_client, make_function):
    client, name = lambda_client, make_function(VERSIONED % "1", Publish=True)
    client.update_function_code(FunctionName=name, ZipFile=make_zip({"function.py": VERSIONED % "2"}), Publish=True)

    def draw(times):
        answers = [client.invoke(FunctionName=f"{name}:live") for _ in range(times)]
        pairs = [(answer["ExecutedVersion"], result(answer)) for answer in answers]
        assert all(version == value for version, value in pairs)
        return [version for version, _ in pairs]

    made = client.create_alias(FunctionName=name, Name="live", FunctionVersion="1",
                               RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}})
    assert made["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.5}}
    # That one of them has none of 64 happens once in 2^63 times.
    assert set(draw(64)) == {"1", "2"}
    client.update_alias(FunctionName=name, Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 0.0}})
    assert set(draw(10)) == {"1"}
    client.update_alias(FunctionName=name, Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 1.0}})
    assert set(draw(10)) == {"2"}
    # What is not named is kept; an empty routing takes it away.
    kept = client.update_alias(FunctionName=name, Name="live", Description="kept")
    assert kept["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 1.0}} and kept["Description"] == "kept"
    gone = client.update_alias(FunctionName=name, Name="live", RoutingConfig={"AdditionalVersionWeights": {}})
    assert "RoutingConfig" not in gone and gone["FunctionVersion"] == "1"
    assert set(draw(5)) == {"1"}


@pytest.mark.parametrize("version, weights, status, code, message", [
    ("1", {"2": 0.1, "3": 0.1}, 400, "InvalidParameterValueException",
     "Number of items in AdditionalVersionWeights cannot be greater than 1"),
    ("1", {"2": 1.5}, 400, "ValidationException", None),
    ("1", {"$LATEST": 0.5}, 400, "ValidationException", None),
    ("$LATEST", {"1": 0.5}, 400, "InvalidParameterValueException",
     "$LATEST is not supported for an alias pointing to more than 1 version"),
    ("1", {"1": 0.5}, 400, "InvalidParameterValueException",
     "Invalid function version 1. Function version 1 is already included in routing configuration."),
    ("1", {"9": 0.5}, 404, "ResourceNotFoundException", None),
    ("0", {}, 404, "ResourceNotFoundException", None),
    ("one", {}, 400, "ValidationException", "functionVersion"),
], ids=str)
def test_routing_that_cannot_be(lambda_client, make_function, version, weights, status, code, message):
    client, name = lambda_client, make_function(Publish=True)
    for _ in range(2):
        client.update_function_configuration(FunctionName=name, Timeout=4)
        client.publish_version(FunctionName=name)
    with pytest.raises(ClientError) as caught:
        client.create_alias(FunctionName=name, Name="live", FunctionVersion=version,
                            RoutingConfig={"AdditionalVersionWeights": weights})
    check_error(caught, status, code, message)
    assert client.list_aliases(FunctionName=name)["Aliases"] == []


@pytest.mark.parametrize("alias", ["7", "a b", "a" * 129, "$LATEST", "a.b"])
def test_names_that_no_alias_can_have(lambda_client, make_function, alias):
    with pytest.raises(ClientError) as caught:
        lambda_client.create_alias(FunctionName=make_function(Publish=True), Name=alias, FunctionVersion="1")
    check_error(caught, 400, "ValidationException", "'name'")


def test_an_alias_of_latest_follows_it(lambda_client, make_function):
    client, name = lambda_client, make_function(VERSIONED % "old")
    client.create_alias(FunctionName=name, Name="edge", FunctionVersion="$LATEST", Description="the edge")
    client.update_function_code(FunctionName=name, ZipFile=make_zip({"function.py": VERSIONED % "new"}))
    response = client.invoke(FunctionName=name, Qualifier="edge")
    assert (result(response), response["ExecutedVersion"]) == ("new", "$LATEST")


# MARK: lists

def test_lists_come_in_pages(lambda_client, make_function):
    client, name = lambda_client, make_function(name="paged-a", Publish=True)
    for index in range(4):
        make_function(name=f"paged-{'bcde'[index]}")
        client.update_function_configuration(FunctionName=name, Timeout=index + 5)
        client.publish_version(FunctionName=name)
        client.create_alias(FunctionName=name, Name=f"alias-{index}", FunctionVersion=str(index + 1))

    def pages(operation, key, field, **parameters):
        found = client.get_paginator(operation).paginate(PaginationConfig={"PageSize": 2}, **parameters)
        listed = [[element[field] for element in page[key]] for page in found]
        assert all(len(page) <= 2 for page in listed)
        return [element for page in listed for element in page]

    functions = pages("list_functions", "Functions", "FunctionName")
    assert [name for name in functions if name.startswith("paged-")] == [f"paged-{x}" for x in "abcde"]
    assert len(functions) == len(set(functions))
    everything = pages("list_functions", "Functions", "FunctionArn", FunctionVersion="ALL")
    assert [arn for arn in everything if ":paged-a:" in arn] == [
        f"{ARN}paged-a:{version}" for version in ("$LATEST", "1", "2", "3", "4", "5")]
    versions = pages("list_versions_by_function", "Versions", "Version", FunctionName=name)
    assert versions == ["$LATEST", "1", "2", "3", "4", "5"]
    aliases = pages("list_aliases", "Aliases", "Name", FunctionName=name)
    assert aliases == [f"alias-{index}" for index in range(4)]
    assert pages("list_aliases", "Aliases", "Name", FunctionName=name, FunctionVersion="2") == ["alias-1"]
    assert "NextMarker" not in client.list_aliases(FunctionName=name)
    for marker in ("nonsense", base64.b64encode(b"ListFunctions").decode(), base64.b64encode(b"a b").decode()):
        with pytest.raises(client.exceptions.InvalidParameterValueException):
            client.list_functions(Marker=marker)


def test_a_page_has_at_most_fifty(lambda_client, make_function):
    client, name = lambda_client, make_function(Publish=True)
    for index in range(51):
        client.create_alias(FunctionName=name, Name=f"alias-{index:02}", FunctionVersion="1")
    page = client.list_aliases(FunctionName=name, MaxItems=1000)
    assert len(page["Aliases"]) == 50 and page["NextMarker"]
    rest = client.list_aliases(FunctionName=name, Marker=page["NextMarker"])
    assert [alias["Name"] for alias in rest["Aliases"]] == ["alias-50"] and "NextMarker" not in rest


# MARK: events

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
