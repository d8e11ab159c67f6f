"""docs/LAMBDA_COMPATIBILITY.md says of every operation and field what becomes of it, and a host does so."""

import re

import pytest

from conftest import ARN, ROOT, ROLE, make_zip
from lambda_api import MODEL, path_of

TEXT = (ROOT / "docs/LAMBDA_COMPATIBILITY.md").read_text()


def table(heading):
    """{name: what is said of it}, in the order of the table under a heading."""
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", section, re.MULTILINE))


OPERATIONS = table("Operations")
FIELDS = table("Fields")
WITH_FIELDS = ("CreateFunction", "UpdateFunctionCode", "UpdateFunctionConfiguration", "PublishVersion")


@pytest.fixture(scope="module")
def host(host):
    client = host.client()
    client.create_function(
        FunctionName="known", Role=ROLE, Runtime="python3", Handler="function.handler",
        Code={"ZipFile": make_zip({"function.py": "def handler(event, context):\n    return event\n"})}, Publish=True)
    client.create_alias(FunctionName="known", Name="live", FunctionVersion="1")
    return host


def ask(host, operation, body=None, function="known"):
    arn = f"{ARN}{function}:1/durable-execution/none/none"
    path = path_of(operation, FunctionName=function, Name="live", Resource=ARN + function, DurableExecutionArn=arn)
    return host.request(MODEL.operation_model(operation).http["method"], path, body)


def test_every_operation_of_the_service_has_its_line():
    assert list(OPERATIONS) == sorted(MODEL.operation_names)
    assert set(OPERATIONS.values()) == {"yes", "differs", "fixed", "no"}


@pytest.mark.parametrize("operation", [name for name, here in OPERATIONS.items() if here == "no"])
def test_an_operation_that_is_left_out_is_unknown(host, operation):
    answer = ask(host, operation)
    assert (answer.status, answer.error) == (404, "UnknownOperationException"), answer.body
    assert answer.json.keys() == {"message"}


@pytest.mark.parametrize("operation", [name for name, here in OPERATIONS.items() if here != "no"])
def test_an_operation_that_is_there_is_known(host, operation):
    # Of a function that is not there, so that nothing is changed.
    answer = ask(host, operation, function="nowhere")
    assert answer.status < 500 and answer.error != "UnknownOperationException", answer.body


def test_every_field_has_its_line():
    known = set()
    for operation in (*WITH_FIELDS, "Invoke"):
        known |= MODEL.operation_model(operation).input_shape.members.keys()
    assert list(FIELDS) == sorted(known)
    assert set(FIELDS.values()) == {"yes", "differs", "fixed", "refused"}


def sample(shape):
    """A value that asks for something."""
    match shape.type_name:
        case "structure":
            return {name: sample(member) for name, member in list(shape.members.items())[:1]}
        case "list": return [sample(shape.member)]
        case "map": return {"key": sample(shape.value)}
        case "string": return shape.enum[-1] if shape.enum else "some-text"
        case "boolean": return True
        case _: return 7


@pytest.mark.parametrize("field", [name for name, here in FIELDS.items() if here == "refused" and name != "TenantId"])
def test_a_field_that_is_refused_is_named(host, field):
    asked = 0
    for operation in WITH_FIELDS:
        members = MODEL.operation_model(operation).input_shape.members
        if field not in members:
            continue
        body = {field: sample(members[field])}
        if operation == "CreateFunction":
            body |= {"FunctionName": "refused", "Role": ROLE, "Runtime": "python3", "Handler": "h",
                     "Code": {"ZipFile": ""}}
        answer = ask(host, operation, body)
        assert (answer.status, answer.error) == (400, "InvalidParameterValueException"), (operation, answer.body)
        assert field in answer.message
        asked += 1
    assert asked


@pytest.mark.parametrize("field", [name for name, here in FIELDS.items() if here == "fixed"])
def test_a_field_with_one_meaning_takes_that_and_nothing_else(host, field):
    configuration = host.client().get_function_configuration(FunctionName="known")
    value = configuration[field]
    if isinstance(value, dict):
        value = {next(iter(value)): next(iter(value.values()))}
    operation = "UpdateFunctionCode" if field == "Architectures" else "CreateFunction"
    body = {"FunctionName": "fixed", "Role": ROLE, "Runtime": "python3", "Handler": "h", "Code": {"ZipFile": ""}}
    if operation != "CreateFunction":
        body = {"ZipFile": ""}
    # The package is empty: that is what is wrong with the one, and not with the other.
    assert "zip" in ask(host, operation, body | {field: value}).message.lower()
    other = {"Architectures": ["x86_64" if configuration[field] == ["arm64"] else "arm64"],
             "EphemeralStorage": {"Size": 1024}, "LoggingConfig": {"LogFormat": "JSON"}, "PackageType": "Image",
             "SnapStart": {"ApplyOn": "PublishedVersions"}, "TracingConfig": {"Mode": "Active"}}[field]
    answer = ask(host, operation, body | {field: other})
    assert (answer.status, answer.error) == (400, "InvalidParameterValueException") and field in answer.message


def test_a_tenant_is_refused(host):
    answer = host.request("POST", path_of("Invoke", FunctionName="known"), {}, {"X-Amz-Tenant-Id": "one"})
    assert (answer.status, answer.error) == (400, "InvalidParameterValueException") and "TenantId" in answer.message
