"""What the tests of the Lambda API share: functions that do as they are told, calls, what was answered, and the
service's own model, which botocore carries."""

import json
import re
import time
from urllib.parse import quote

import botocore.session
import pytest

from conftest import wait_until

UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
VERSIONED = "def handler(event, context):\n    return %r\n"
# Does what its event says; with nothing to do, it says which worker it is.
ACTOR = """
import os, signal, sys, time

WORKER = os.urandom(8).hex()

def handler(event, context):
    what = event.get("do")
    if what == "raise":
        raise ValueError("no " + event["what"])
    if what == "exit":
        os._exit(event["code"])
    if what == "sys.exit":
        sys.exit(event["code"])
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "sleep":
        time.sleep(event["seconds"])
    if what == "large":
        return "x" * event["bytes"]
    if what == "print":
        sys.stdout.write(event["text"])
    if what == "context":
        return {key: getattr(context, key) for key in (
            "aws_request_id", "invoked_function_arn", "function_name", "function_version", "memory_limit_in_mb")}
    if what == "client context":
        context = context.client_context
        return context and {"custom": context.custom, "env": context.env}
    if what == "environment":
        return os.environ.get(event["name"])
    return WORKER
"""


# MARK: calls

def invoke(client, name, event=None, **options):
    if event is not None:
        options["Payload"] = json.dumps(event)
    return client.invoke(FunctionName=name, **options)


def result(response):
    assert "FunctionError" not in response, response["Payload"].read()
    return json.loads(response["Payload"].read())


def failure(response):
    """The error object of an invocation whose function failed."""
    assert response["StatusCode"] == 200 and response["FunctionError"] == "Unhandled"
    return json.loads(response["Payload"].read())


def check_error(caught, status, code, message=None):
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert response["Error"]["Code"] == code
    assert response["Error"]["Message"] not in ("", "None")
    assert response["ResponseMetadata"]["RequestId"]
    if message is not None:
        assert message in response["Error"]["Message"]


def wait_until_ended(client, arn, seconds=20):
    def ended():
        execution = client.get_durable_execution(DurableExecutionArn=arn)
        return execution if execution["Status"] not in ("RUNNING", "PAUSING", "PAUSED") else None

    return wait_until(ended, f"the end of {arn}", seconds)


# MARK: the service's model

MODEL = botocore.session.get_session().get_service_model("lambda")


def path_of(operation, **values):
    """The path and query of an operation, with `values` for what stands in braces; `x` where there is none."""
    uri = MODEL.operation_model(operation).http["requestUri"]
    return re.sub(r"\{(\w+)\}", lambda match: quote(values.get(match[1], "x"), safe=""), uri)


def in_python(pattern):
    """A pattern of the model, which has Java's classes of Unicode."""
    return pattern.replace(r"\p{L}", r"\w").replace(r"\p{N}", r"\d").replace(r"\p{Z}", r"\s")


def violations(value, shape, path=""):
    """What a value that boto3 has parsed lacks, or has otherwise than the model says. Members beyond the model are
    none."""
    if value is None:
        yield f"{path} is null"
        return
    match shape.type_name:
        case "structure":
            for name in shape.required_members:
                if name not in value:
                    yield f"{path}.{name} is missing"
            for name, member in shape.members.items():
                if name in value and member.serialization.get("eventstream") is None:
                    yield from violations(value[name], member, f"{path}.{name}")
        case "list":
            for index, element in enumerate(value):
                yield from violations(element, shape.member, f"{path}[{index}]")
        case "map":
            for key, element in value.items():
                yield from violations(key, shape.key, f"{path} key {key}")
                yield from violations(element, shape.value, f"{path}.{key}")
        case "string":
            if not isinstance(value, str):
                yield f"{path} is no string: {value!r}"
                return
            # Runtimes and destinations of our own are in no list of the service's.
            if shape.enum and value not in shape.enum and shape.name not in ("Runtime", "Architecture"):
                yield f"{path} is none of {shape.enum}: {value!r}"
            pattern = shape.metadata.get("pattern")
            if pattern and not re.fullmatch(in_python(pattern), value):
                yield f"{path} does not match {pattern}: {value!r}"
            yield from out_of_range(len(value), shape, f"the length of {path}")
        case "integer" | "long":
            if not isinstance(value, int) or isinstance(value, bool):
                yield f"{path} is no integer: {value!r}"
                return
            # The limits of an account at AWS are not ours.
            if shape.name not in ("Timeout", "MemorySize"):
                yield from out_of_range(value, shape, path)
        case "boolean":
            if not isinstance(value, bool):
                yield f"{path} is no boolean: {value!r}"


def out_of_range(value, shape, path):
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and value < least or most is not None and value > most:
        yield f"{path} is not within {least} to {most}: {value}"


def checked(client):
    """The client, which from now on fails on any answer that is not as the service's model has it."""
    def check(parsed, model, http_response, **_):
        if http_response.status_code >= 300:
            code = parsed.get("Error", {}).get("Code", "")
            shape = next((shape for shape in MODEL.error_shapes if shape.name == code), None)
            if shape is None:
                return
            status = shape.metadata["error"]["httpStatusCode"]
            wrong = [f"{code} has status {http_response.status_code}"] if http_response.status_code != status else []
            # The message is found only under the name that the model has for it.
            body = json.loads(http_response.content)
            wrong += [f"{code} has no {name} in {body}" for name, member in shape.members.items()
                      if name in ("Type", "message", "Message") and not isinstance(body.get(name), str)]
        else:
            expected = model.http.get("responseCode", 200)
            wrong = []
            # An invocation's status depends on its type, and a deletion is answered 204 whatever the model says.
            if not model.name.startswith("Invoke") and http_response.status_code != expected \
                    and (model.name, http_response.status_code) != ("DeleteFunction", 204):
                wrong = [f"the status is {http_response.status_code}, not {expected}"]
            # Payloads are no documents, and a function without code signing has none of what the model requires.
            apart = ("Invoke", "InvokeWithResponseStream", "GetFunctionCodeSigningConfig")
            if model.output_shape is not None and model.name not in apart:
                wrong += violations(parsed, model.output_shape)
        assert not wrong, (model.name, wrong)

    client.meta.events.register("after-call.lambda", check)
    return client


# MARK: raw requests in one go

def pipelined(host, requests, at_once=64):
    """The answers to many requests over one connection, of which up to `at_once` are under way."""
    answers = []
    with host.raw(seconds=30) as raw:
        for begin in range(0, len(requests), at_once):
            some = requests[begin:begin + at_once]
            raw.send(b"".join(some))
            answers += [raw.answer("POST") for _ in some]
    return answers


def post(path, body=b"", headers=()):
    """The bytes of a request."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in dict(headers).items())
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body
