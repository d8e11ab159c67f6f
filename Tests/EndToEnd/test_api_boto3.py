"""The Lambda API as boto3 sees it: unmodified clients, real workers."""

import base64
import datetime
import hashlib

import pytest
from botocore.exceptions import ClientError

from conftest import ARN, ROLE, make_zip
from lambda_api import ACTOR, VERSIONED, check_error, invoke, result, wait_until_ended

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
