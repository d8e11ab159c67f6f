"""What clients set beside a function's code and configuration: tags, the handling of events, provisioned concurrency,
and what tools merely ask for."""

import datetime
import json
import re
import time

import pytest
from botocore.exceptions import ClientError

from conftest import ARN, ROLE, make_zip, wait_until
from lambda_api import ACTOR, UUID, check_error, checked, invoke, path_of, result

QUEUE = "arn:aws:sqs:us-east-1:000000000000:queue"


def without_metadata(response):
    return {key: value for key, value in response.items() if key != "ResponseMetadata"}


# MARK: tags

def test_tags_are_added_replaced_and_taken_away(lambda_client, make_function):
    client = lambda_client
    name = make_function(Tags={"team": "vision", "stage": "test"})

    def tags():
        listed = client.list_tags(Resource=ARN + name)["Tags"]
        assert client.get_function(FunctionName=name).get("Tags", {}) == listed
        return listed

    assert tags() == {"team": "vision", "stage": "test"}
    client.tag_resource(Resource=ARN + name, Tags={"stage": "live", "größe": "", "a b": "c d+e=f"})
    assert tags() == {"team": "vision", "stage": "live", "größe": "", "a b": "c d+e=f"}
    # What was not there is no mistake.
    client.untag_resource(Resource=ARN + name, TagKeys=["a b", "größe", "nothing"])
    assert tags() == {"team": "vision", "stage": "live"}
    # They are the function's: updates leave them, versions have none of their own.
    client.update_function_configuration(FunctionName=name, Timeout=9)
    client.publish_version(FunctionName=name)
    assert tags() == {"team": "vision", "stage": "live"}
    assert "Tags" not in client.get_function_configuration(FunctionName=name)
    client.untag_resource(Resource=ARN + name, TagKeys=["team", "stage"])
    assert tags() == {}


def test_tags_go_with_the_function(lambda_client, make_function):
    name = make_function(Tags={"old": "1"})
    lambda_client.delete_function(FunctionName=name)
    for call in (lambda: lambda_client.list_tags(Resource=ARN + name),
                 lambda: lambda_client.tag_resource(Resource=ARN + name, Tags={"a": "b"}),
                 lambda: lambda_client.untag_resource(Resource=ARN + name, TagKeys=["a"])):
        with pytest.raises(lambda_client.exceptions.ResourceNotFoundException) as caught:
            call()
        check_error(caught, 404, "ResourceNotFoundException", f"Function not found: {ARN}{name}")
    make_function(name=name)
    assert lambda_client.list_tags(Resource=ARN + name)["Tags"] == {}


def test_only_a_function_itself_has_tags(lambda_client, make_function):
    client, name = lambda_client, make_function(Publish=True, Tags={"a": "b"})
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    for suffix in (":$LATEST", ":1", ":live"):
        for operation, parameters in (
                (client.list_tags, {}), (client.tag_resource, {"Tags": {"c": "d"}}),
                (client.untag_resource, {"TagKeys": ["a"]})):
            with pytest.raises(client.exceptions.InvalidParameterValueException) as caught:
                operation(Resource=ARN + name + suffix, **parameters)
            check_error(caught, 400, "InvalidParameterValueException")
    # A name is no ARN.
    for resource in (name, f"function:{name}", "arn:aws:s3:::bucket"):
        with pytest.raises(ClientError) as caught:
            client.list_tags(Resource=resource)
        check_error(caught, 400, "ValidationException", "resource")
    assert client.list_tags(Resource=ARN + name)["Tags"] == {"a": "b"}


@pytest.mark.parametrize("method, query, body, status, error", [
    ("POST", "", {"Tags": {"a": 1}}, 400, "SerializationException"),
    ("POST", "", {"Tags": ["a"]}, 400, "SerializationException"), ("POST", "", {}, 400, "ValidationException"),
    ("POST", "", {"Tags": {"a": "b"}, "More": 1}, 400, "InvalidParameterValueException"),
    ("DELETE", "", None, 400, "ValidationException"), ("POST", "", b"{", 400, "InvalidRequestContentException"),
])
def test_tags_that_are_none(host, make_function, method, query, body, status, error):
    name = make_function()
    answer = host.request(method, path_of("ListTags", Resource=ARN + name) + query, body)
    assert (answer.status, answer.error) == (status, error), answer.body


# MARK: the handling of events

def test_how_events_are_handled_is_put_merged_and_deleted(host, lambda_client, make_function):
    client, name, other = lambda_client, make_function(), make_function()
    arn, begin = f"{ARN}{name}:$LATEST", time.time()
    raw = host.request(
        "PUT", path_of("PutFunctionEventInvokeConfig", FunctionName=name), {"MaximumRetryAttempts": 1})
    assert raw.status == 200
    # A number of seconds, unlike the LastModified of a function.
    assert begin - 1 < raw.json.pop("LastModified") < begin + 10
    assert raw.json | {"LastModified": 0} == {
        "LastModified": 0, "FunctionArn": arn, "MaximumRetryAttempts": 1,
        "DestinationConfig": {"OnSuccess": {}, "OnFailure": {}}}

    def kept():
        found = without_metadata(client.get_function_event_invoke_config(FunctionName=name))
        now = datetime.datetime.now(datetime.timezone.utc)
        assert abs(now - found.pop("LastModified")) < datetime.timedelta(seconds=20)
        assert found.pop("FunctionArn") == arn
        return found

    none = {"OnSuccess": {}, "OnFailure": {}}
    assert kept() == {"MaximumRetryAttempts": 1, "DestinationConfig": none}
    # An update keeps what it does not name.
    updated = client.update_function_event_invoke_config(FunctionName=name, MaximumEventAgeInSeconds=60)
    assert (updated["MaximumRetryAttempts"], updated["MaximumEventAgeInSeconds"]) == (1, 60)
    success = {"OnSuccess": {"Destination": ARN + other}}
    client.update_function_event_invoke_config(FunctionName=name, DestinationConfig=success)
    assert kept() == {"MaximumRetryAttempts": 1, "MaximumEventAgeInSeconds": 60,
                      "DestinationConfig": {**none, **success}}
    # A put does not.
    client.put_function_event_invoke_config(FunctionName=name, MaximumEventAgeInSeconds=21600)
    assert kept() == {"MaximumEventAgeInSeconds": 21600, "DestinationConfig": none}
    client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0, DestinationConfig={
        "OnFailure": {"Destination": f"{ARN}{other}:$LATEST"}})
    assert kept() == {"MaximumRetryAttempts": 0, "DestinationConfig": {
        "OnSuccess": {}, "OnFailure": {"Destination": f"{ARN}{other}:$LATEST"}}}
    deleted = client.delete_function_event_invoke_config(FunctionName=name)
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
    for operation, parameters in (
            (client.get_function_event_invoke_config, {}), (client.delete_function_event_invoke_config, {}),
            (client.update_function_event_invoke_config, {"MaximumRetryAttempts": 1})):
        with pytest.raises(client.exceptions.ResourceNotFoundException) as caught:
            operation(FunctionName=name, **parameters)
        assert caught.value.response["Message"] == f"The function {arn} doesn't have an EventInvokeConfig"


def test_each_qualifier_has_its_own_handling(lambda_client, make_function):
    client, name = lambda_client, make_function(Publish=True)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    attempts = {"$LATEST": 0, "1": 1, "live": 2}
    for qualifier, number in attempts.items():
        put = client.put_function_event_invoke_config(
            FunctionName=name, Qualifier=qualifier, MaximumRetryAttempts=number)
        assert put["FunctionArn"] == f"{ARN}{name}:{qualifier}"
    for qualifier, number in attempts.items():
        for parameters in ({"FunctionName": name, "Qualifier": qualifier}, {"FunctionName": f"{name}:{qualifier}"}):
            found = client.get_function_event_invoke_config(**parameters)
            assert found["MaximumRetryAttempts"] == number
    assert client.get_function_event_invoke_config(FunctionName=name)["MaximumRetryAttempts"] == 0
    expected = {f"{ARN}{name}:{qualifier}": number for qualifier, number in attempts.items()}
    listed = client.list_function_event_invoke_configs(FunctionName=name)
    assert "NextMarker" not in listed
    found = listed["FunctionEventInvokeConfigs"]
    assert {each["FunctionArn"]: each["MaximumRetryAttempts"] for each in found} == expected
    pages = list(client.get_paginator("list_function_event_invoke_configs").paginate(
        FunctionName=name, PaginationConfig={"PageSize": 1}))
    assert len(pages) == 3 and all(len(page["FunctionEventInvokeConfigs"]) == 1 for page in pages)
    assert {page["FunctionEventInvokeConfigs"][0]["FunctionArn"] for page in pages} == expected.keys()
    client.delete_function_event_invoke_config(FunctionName=name, Qualifier="1")
    assert len(client.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"]) == 2
    for qualifier in ("2", "other"):
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.put_function_event_invoke_config(FunctionName=name, Qualifier=qualifier, MaximumRetryAttempts=0)


@pytest.mark.parametrize("parameters, code, message", [
    ({}, "InvalidParameterValueException",
     "You must specify at least one of error handling or destination setting."),
    ({"DestinationConfig": {"OnFailure": {"Destination": "SELF"}}}, "InvalidParameterValueException",
     "You can't specify the function as a destination for itself."),
    ({"DestinationConfig": {"OnSuccess": {"Destination": ARN + "nowhere"}}}, "InvalidParameterValueException",
     f"The destination ARN {ARN}nowhere is invalid."),
    ({"DestinationConfig": {"OnFailure": {"Destination": QUEUE}}}, "InvalidParameterValueException", None),
    ({"DestinationConfig": {"OnFailure": {"Destination": "somewhere"}}}, "InvalidParameterValueException",
     "estination"),
    ({"DestinationConfig": {"OnFailure": {"Destination": "some/where"}}}, "ValidationException", "estination"),
    ({"MaximumRetryAttempts": 3}, "ValidationException", "maximumRetryAttempts"),
    ({"MaximumRetryAttempts": -1}, "ValidationException", "maximumRetryAttempts"),
    ({"MaximumEventAgeInSeconds": 59}, "ValidationException", "maximumEventAgeInSeconds"),
    ({"MaximumEventAgeInSeconds": 21601}, "ValidationException", "maximumEventAgeInSeconds"),
    ({"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 21601}, "ValidationException",
     "2 validation errors detected: "),
    ({"MaximumRetryAttempts": "2"}, "SerializationException", None),
    ({"RetryAttempts": 2}, "InvalidParameterValueException", "RetryAttempts"),
], ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "")
def test_a_handling_that_cannot_be_is_refused_and_changes_nothing(host, make_function, parameters, code, message):
    name = make_function()
    path = path_of("PutFunctionEventInvokeConfig", FunctionName=name)
    body = json.dumps(parameters).replace("SELF", ARN + name)
    answer = host.request("PUT", path, body)
    assert (answer.status, answer.error) == (400, code), answer.body
    assert message is None or message in answer.message
    assert host.request("GET", path).status == 404


def test_the_handling_of_events_goes_with_the_function(lambda_client, make_function):
    client, name = lambda_client, make_function()
    client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    client.delete_function(FunctionName=name)
    for operation in (client.get_function_event_invoke_config, client.list_function_event_invoke_configs):
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            operation(FunctionName=name)
    make_function(name=name)
    assert client.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"] == []


# MARK: provisioned concurrency

PROVISIONED = {"RequestedProvisionedConcurrentExecutions", "AllocatedProvisionedConcurrentExecutions",
               "AvailableProvisionedConcurrentExecutions", "Status", "LastModified"}


def ready(client, name, qualifier):
    """The configuration, once its workers are there or cannot be."""
    def found():
        config = without_metadata(client.get_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier))
        assert config.keys() - {"StatusReason"} == PROVISIONED
        return config if config["Status"] != "IN_PROGRESS" else None

    return wait_until(found, f"the workers of {name}:{qualifier}")


def numbers(config):
    return [config[f"{kind}ProvisionedConcurrentExecutions"] for kind in ("Requested", "Allocated", "Available")]


def test_provisioned_workers_are_there_before_anybody_calls(host, lambda_client, make_function):
    client, name = lambda_client, make_function(ACTOR, Publish=True)
    put = client.put_provisioned_concurrency_config(
        FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=2)
    assert put["Status"] in ("IN_PROGRESS", "READY") and put["RequestedProvisionedConcurrentExecutions"] == 2
    config = ready(client, name, "1")
    assert config["Status"] == "READY" and numbers(config) == [2, 2, 2]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+0000", config["LastModified"])
    assert len([worker for worker in host.workers(name) if worker["State"] == "idle"]) == 2
    # The first call of all is warm.
    path = f"/2015-03-31/functions/{name}/invocations?Qualifier=1"
    answer = host.request("POST", path, {"do": "environment", "name": "AWS_LAMBDA_INITIALIZATION_TYPE"})
    assert "init=" not in answer.headers["Roost-Timing"] and answer.json == "provisioned-concurrency"
    # $LATEST has none of it.
    assert result(invoke(client, name, {"do": "environment", "name": "AWS_LAMBDA_INITIALIZATION_TYPE"})) == "on-demand"
    # A worker that ends is replaced.
    invoke(client, f"{name}:1", {"do": "kill"})
    wait_until(lambda: numbers(ready(client, name, "1")) == [2, 2, 2], "another worker")
    # Fewer, and none.
    client.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=1)
    wait_until(lambda: numbers(ready(client, name, "1")) == [1, 1, 1], "one worker")
    deleted = client.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
    with pytest.raises(client.exceptions.ProvisionedConcurrencyConfigNotFoundException) as caught:
        client.get_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
    check_error(caught, 404, "ProvisionedConcurrencyConfigNotFoundException")
    assert caught.value.response["message"] == caught.value.response["Error"]["Message"]
    assert "FunctionError" not in invoke(client, f"{name}:1", {})


def test_provisioned_workers_of_an_alias_follow_it(host, lambda_client, make_function):
    client, name = lambda_client, make_function(ACTOR, Publish=True)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    client.put_provisioned_concurrency_config(FunctionName=name, Qualifier="live", ProvisionedConcurrentExecutions=1)
    assert ready(client, name, "live")["Status"] == "READY"
    first = result(invoke(client, f"{name}:live", {}))
    client.update_function_configuration(FunctionName=name, Description="second")
    second = client.publish_version(FunctionName=name)["Version"]
    client.update_alias(FunctionName=name, Name="live", FunctionVersion=second)

    def warm():
        pools = host.request("GET", "/roost/v1/workers").json["Pools"]
        return [pool for pool in pools if (pool["FunctionName"], pool["Version"]) == (name, second)
                and any(worker["State"] == "idle" for worker in pool["Workers"])]

    wait_until(warm, "a worker of the new version")
    assert ready(client, name, "live")["Status"] == "READY"
    path = f"/2015-03-31/functions/{name}/invocations?Qualifier=live"
    answer = host.request("POST", path, {})
    assert "init=" not in answer.headers["Roost-Timing"] and answer.json != first
    assert answer.headers["X-Amz-Executed-Version"] == second


def test_lists_of_provisioned_concurrency(lambda_client, make_function):
    client, name = lambda_client, make_function(Publish=True)
    client.update_function_configuration(FunctionName=name, Timeout=4)
    client.publish_version(FunctionName=name)
    assert client.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"] == []
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="2")
    for qualifier in ("1", "live"):
        client.put_provisioned_concurrency_config(
            FunctionName=name, Qualifier=qualifier, ProvisionedConcurrentExecutions=1)
        ready(client, name, qualifier)
    listed = client.list_provisioned_concurrency_configs(FunctionName=name)
    assert "NextMarker" not in listed
    found = {each.pop("FunctionArn"): each for each in listed["ProvisionedConcurrencyConfigs"]}
    assert found == {f"{ARN}{name}:{qualifier}": ready(client, name, qualifier) for qualifier in ("1", "live")}
    pages = list(client.get_paginator("list_provisioned_concurrency_configs").paginate(
        FunctionName=name, PaginationConfig={"PageSize": 1}))
    assert [len(page["ProvisionedConcurrencyConfigs"]) for page in pages] == [1, 1]


def test_provisioned_concurrency_that_cannot_be(host, lambda_client, make_function):
    client, name = lambda_client, make_function(Publish=True)
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)

    def refused(status, code, qualifier="1", number=1, message=None):
        with pytest.raises(ClientError) as caught:
            client.put_provisioned_concurrency_config(
                FunctionName=name, Qualifier=qualifier, ProvisionedConcurrentExecutions=number)
        check_error(caught, status, code, message)

    refused(400, "InvalidParameterValueException", "$LATEST")
    refused(400, "InvalidParameterValueException", number=3)
    refused(404, "ResourceNotFoundException", "7")
    refused(404, "ResourceNotFoundException", "nobody")
    path = path_of("PutProvisionedConcurrencyConfig", FunctionName=name)
    for query, body, error in (
            ("?Qualifier=1", {"ProvisionedConcurrentExecutions": 0}, "ValidationException"),
            ("?Qualifier=1", {"ProvisionedConcurrentExecutions": "1"}, "SerializationException"),
            ("?Qualifier=1", {}, "ValidationException"),
            ("", {"ProvisionedConcurrentExecutions": 1}, "ValidationException")):
        answer = host.request("PUT", path + query, body)
        assert (answer.status, answer.error) == (400, error), (query, body, answer.body)
    with pytest.raises(client.exceptions.ProvisionedConcurrencyConfigNotFoundException):
        client.get_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_provisioned_concurrency_config(FunctionName="nowhere", Qualifier="1")
    assert client.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"] == []
    assert host.workers(name) == []


def test_workers_that_cannot_start_are_not_provisioned(lambda_client, make_function):
    client, name = lambda_client, make_function("raise RuntimeError('broken')", Publish=True)
    client.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=1)
    config = ready(client, name, "1")
    assert config["Status"] == "FAILED" and config["StatusReason"] == "FUNCTION_ERROR_INIT_FAILURE"
    assert numbers(config)[1:] == [0, 0]


# MARK: the account

def test_the_account_knows_its_functions_and_limits(host, lambda_client, make_function):
    client = lambda_client

    def settings():
        found = without_metadata(client.get_account_settings())
        assert found.keys() == {"AccountLimit", "AccountUsage"}
        assert found["AccountLimit"].keys() == {
            "TotalCodeSize", "CodeSizeUnzipped", "CodeSizeZipped", "ConcurrentExecutions",
            "UnreservedConcurrentExecutions"}
        assert found["AccountUsage"].keys() == {"TotalCodeSize", "FunctionCount"}
        return found["AccountLimit"], found["AccountUsage"]

    limit, before = settings()
    assert before["FunctionCount"] == len(client.list_functions()["Functions"])
    assert limit["CodeSizeUnzipped"] == 2 << 30  # what a zip may have, in docs/SETTINGS.md
    name = make_function()
    size = client.get_function_configuration(FunctionName=name)["CodeSize"]
    _, after = settings()
    assert after["FunctionCount"] == before["FunctionCount"] + 1
    assert after["TotalCodeSize"] == before["TotalCodeSize"] + size
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=5)
    reserved, _ = settings()
    assert limit["UnreservedConcurrentExecutions"] - reserved["UnreservedConcurrentExecutions"] == 5
    assert reserved["ConcurrentExecutions"] == limit["ConcurrentExecutions"]


# MARK: what tools ask for

def test_what_deployment_tools_ask_of_a_function(lambda_client, make_function):
    client, name = lambda_client, make_function(Publish=True)
    assert client.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] in ("Allow", "Terminate")
    runtime = client.get_runtime_management_config(FunctionName=name)
    assert runtime["UpdateRuntimeOn"] == "Auto" and runtime["FunctionArn"].startswith(ARN + name)
    assert client.get_runtime_management_config(FunctionName=name, Qualifier="1")["FunctionArn"] == f"{ARN}{name}:1"
    signing = client.get_function_code_signing_config(FunctionName=name)
    assert signing["FunctionName"] == name and not signing.get("CodeSigningConfigArn")
    for operation in (client.get_function_recursion_config, client.get_runtime_management_config,
                      client.get_function_code_signing_config):
        with pytest.raises(client.exceptions.ResourceNotFoundException) as caught:
            operation(FunctionName="nowhere")
        check_error(caught, 404, "ResourceNotFoundException", f"Function not found: {ARN}nowhere")


@pytest.mark.parametrize("stub, field, values", [
    ("function_recursion_config", "RecursiveLoop", ("Allow", "Terminate")),
    ("runtime_management_config", "UpdateRuntimeOn", ("Auto", "FunctionUpdate", "Manual")),
])
def test_what_is_accepted_is_kept_and_what_is_not_kept_is_refused(lambda_client, make_function, stub, field, values):
    client, name = lambda_client, make_function()
    get, put = (getattr(client, f"{verb}_{stub}") for verb in ("get", "put"))
    current = get(FunctionName=name)[field]
    assert put(FunctionName=name, **{field: current})[field] == current
    for value in values:
        try:
            assert put(FunctionName=name, **{field: value})[field] == value
            current = value
        except client.exceptions.InvalidParameterValueException as error:
            assert value in error.response["message"] or field in error.response["message"]
        assert get(FunctionName=name)[field] == current
    with pytest.raises(ClientError) as caught:
        put(FunctionName=name, **{field: "Sometimes"})
    check_error(caught, 400, "ValidationException", "Sometimes")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        put(FunctionName="nowhere", **{field: current})


# MARK: restarts

def test_all_of_it_outlives_the_host(make_host):
    host = make_host()
    client = checked(host.client())
    code = {"ZipFile": make_zip({"function.py": ACTOR})}
    for name in ("f", "target"):
        client.create_function(FunctionName=name, Role=ROLE, Runtime="python3", Handler="function.handler", Code=code,
                               Tags={"of": name}, Publish=True)
    client.put_function_event_invoke_config(FunctionName="f", Qualifier="1", MaximumRetryAttempts=1, DestinationConfig={
        "OnSuccess": {"Destination": ARN + "target"}})
    client.put_provisioned_concurrency_config(FunctionName="f", Qualifier="1", ProvisionedConcurrentExecutions=1)
    ready(client, "f", "1")
    asked = {
        "get_function_event_invoke_config": {"FunctionName": "f", "Qualifier": "1"},
        "get_provisioned_concurrency_config": {"FunctionName": "f", "Qualifier": "1"},
        "list_tags": {"Resource": ARN + "f"}, "get_account_settings": {},
    }
    before = {name: without_metadata(getattr(client, name)(**parameters)) for name, parameters in asked.items()}
    host.kill()
    host.start()
    client = checked(host.client())
    # Workers come by themselves.
    wait_until(lambda: host.workers("f"), "a provisioned worker after the restart")
    ready(client, "f", "1")
    assert before == {name: without_metadata(getattr(client, name)(**parameters)) for name, parameters in asked.items()}
