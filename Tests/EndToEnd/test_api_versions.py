"""Versions and aliases as boto3 sees them."""

import base64

import pytest
from botocore.exceptions import ClientError

from conftest import ARN, make_zip
from lambda_api import VERSIONED, check_error, result

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
