"""What a host with keys asks of a signature, however a request is written."""

import datetime
import hashlib
import json
import re
from unittest import mock

import botocore
import botocore.auth
import botocore.config
import pytest
from botocore.exceptions import ClientError

from access_keys import (
    FUNCTIONS, MISSING, WRONG_SIGNATURE, admin, check_error, chunked, client, create_function, echo, guarded,
    is_known, keys, make_key, sign, signed_head, signed_request)
from conftest import ARN, wait_until


def test_signed_calls_work_as_boto3_makes_them(guarded, admin):
    create_function(admin, "signed", Description="größer 世界", Publish=True)
    admin.create_alias(FunctionName="signed", Name="live", FunctionVersion="1")
    for name, more in [("signed", {}), ("signed:live", {}), (ARN + "signed:live", {}), ("signed", {"Qualifier": "1"})]:
        answer = admin.invoke(FunctionName=name, Payload='{"text": "世界"}'.encode(), LogType="Tail", **more)
        assert json.loads(answer["Payload"].read()) == {"text": "世界"}
    assert json.loads(admin.invoke(FunctionName="signed", Payload=b"[" + b"1," * (1 << 20) + b"1]")["Payload"].read())[0] == 1
    accepted = admin.invoke(FunctionName="signed", InvocationType="Event", Payload=b"{}")
    arn = accepted["DurableExecutionArn"]
    wait_until(
        lambda: admin.get_durable_execution(DurableExecutionArn=arn)["Status"] == "SUCCEEDED", "the execution ends")
    listed = admin.list_durable_executions_by_function(FunctionName="signed", Statuses=["SUCCEEDED", "FAILED"])
    assert [execution["DurableExecutionArn"] for execution in listed["DurableExecutions"]] == [arn]
    answer = signed_request(guarded, guarded.admin, "GET", "/roost/v1/executions?function=signed")
    assert answer.status == 200 and len(answer.json["Executions"]) == 1
    admin.delete_function(FunctionName="signed")


def test_who_signs_nothing_is_refused_by_both_apis(guarded, echo):
    anonymous = client(guarded, guarded.admin, signature_version=botocore.UNSIGNED)
    for call in (
        lambda: anonymous.invoke(FunctionName=echo), anonymous.list_functions,
        lambda: anonymous.delete_function(FunctionName=echo), lambda: anonymous.get_function(FunctionName="missing"),
    ):
        with pytest.raises(ClientError) as caught:
            call()
        check_error(caught, "MissingAuthenticationTokenException", "Missing Authentication Token")
    for method, path in [("GET", "/roost/v1/host"), ("GET", "/roost/v1/workers"), ("POST", "/roost/v1/deployments"),
                         ("GET", "/roost/v1/functions/echo/logs"), ("PUT", "/roost/v1/artifacts/sha256:" + "0" * 64)]:
        answer = guarded.request(method, path, b"{}" if method != "GET" else None)
        assert (answer.status, answer.error) == (403, "MissingAuthenticationTokenException"), path
        assert answer.json == {"message": "Missing Authentication Token"}


def test_a_wrong_secret_is_refused(guarded, echo):
    wrong = client(guarded, {**guarded.admin, "SecretAccessKey": "x" * 40})
    for call in (lambda: wrong.invoke(FunctionName=echo, Payload=b"{}"), wrong.list_functions):
        with pytest.raises(ClientError) as caught:
            call()
        check_error(caught, "InvalidSignatureException", WRONG_SIGNATURE)


def test_a_wrong_secret_does_not_tell_which_functions_there_are(guarded):
    wrong = client(guarded, {**guarded.admin, "SecretAccessKey": "x" * 40})
    for call in (lambda: wrong.invoke(FunctionName="missing"), lambda: wrong.get_function(FunctionName="missing"),
                 lambda: wrong.invoke(FunctionName="missing", InvocationType="Event")):
        with pytest.raises(ClientError) as caught:
            call()
        check_error(caught, "InvalidSignatureException", WRONG_SIGNATURE)


def test_an_unknown_key_is_refused(guarded, echo):
    unknown = client(guarded, {**guarded.admin, "AccessKeyId": "RSTKAAAAAAAAAAAAAAAA"})
    for call in (lambda: unknown.invoke(FunctionName=echo), unknown.list_functions):
        with pytest.raises(ClientError) as caught:
            call()
        check_error(caught, "UnrecognizedClientException", "The security token included in the request is invalid.")


@pytest.mark.parametrize("minutes, text", [
    (-6, r"Signature expired: (\d{8}T\d{6}Z) is now earlier than (\d{8}T\d{6}Z) \((\d{8}T\d{6}Z) - 5 min\.\)$"),
    (6, r"Signature not yet current: (\d{8}T\d{6}Z) is still later than (\d{8}T\d{6}Z) \((\d{8}T\d{6}Z) \+ 5 min\.\)$")])
def test_a_clock_that_is_wrong_is_told_both_times(guarded, admin, echo, minutes, text):
    shifted = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    with mock.patch("botocore.auth.get_current_datetime", lambda *_, **__: shifted):
        with pytest.raises(ClientError) as caught:
            admin.invoke(FunctionName=echo)
    times = check_error(caught, "InvalidSignatureException", re.compile(text)).groups()
    signed, bound, now = (datetime.datetime.strptime(time, "%Y%m%dT%H%M%SZ") for time in times)
    assert signed == shifted.replace(tzinfo=None, microsecond=0)
    assert bound - now == datetime.timedelta(minutes=-5 if minutes < 0 else 5)
    close = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes * 4 / 6)
    with mock.patch("botocore.auth.get_current_datetime", lambda *_, **__: close):
        assert admin.invoke(FunctionName=echo)["StatusCode"] == 200


def test_a_replay_is_taken_only_as_it_was(guarded, echo):
    path, body = f"{FUNCTIONS}/{echo}/invocations", b'{"a": 1}'
    fields = sign(guarded.admin, "POST", guarded.endpoint + path, body)
    for _ in range(2):
        assert guarded.request("POST", path, body, fields).json == {"a": 1}
    for other_path, other_body in [(path, b'{"a": 2}'), (path, b""), (path + "?Qualifier=$LATEST", body)]:
        answer = guarded.request("POST", other_path, other_body, fields)
        assert (answer.status, answer.error, answer.message) == (403, "InvalidSignatureException", WRONG_SIGNATURE)
    event = guarded.request("POST", path, body, {**fields, "X-Amz-Invocation-Type": "Event"})
    assert event.status == 403, "a header that means something has to be signed"


@pytest.mark.parametrize("change, code, text", [
    (("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"), "IncompleteSignatureException", "algorithm"),
    (("Credential=", "X="), "IncompleteSignatureException", "X"),
    (("/aws4_request", ""), "IncompleteSignatureException", "Credential"),
    (("SignedHeaders=host;", "SignedHeaders="), "IncompleteSignatureException", "Host"),
    (("Signature=", "Signature=z"), "IncompleteSignatureException", "Signature"),
    (("/us-east-1/", "/eu-west-1/"), "InvalidSignatureException", "valid region"),
    (("/lambda/", "/s3/"), "InvalidSignatureException", "correct service: 'lambda'")])
def test_a_malformed_signature_says_which_part(guarded, echo, change, code, text):
    path = f"{FUNCTIONS}/{echo}/invocations"
    fields = sign(guarded.admin, "POST", guarded.endpoint + path)
    fields["Authorization"] = fields["Authorization"].replace(*change)
    answer = guarded.request("POST", path, None, fields)
    assert (answer.status, answer.error) == (403, code) and text in answer.message, answer.body


def test_who_is_not_known_sends_no_body(guarded):
    """The head alone decides: a client that asks first is told before it sends anything."""
    for path in [f"{FUNCTIONS}/echo/invocations", "/roost/v1/artifacts/sha256:" + "0" * 64, FUNCTIONS]:
        method = "PUT" if "artifacts" in path else "POST"
        with guarded.raw() as connection:
            connection.send(
                f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{guarded.port}\r\nContent-Length: 1000000\r\n"
                "Expect: 100-continue\r\n\r\n")
            answer = connection.answer()
        assert (answer.status, answer.error) == (403, "MissingAuthenticationTokenException")


def test_a_temporary_key_needs_its_token(guarded, echo, make_key):
    key = make_key("--expires", "1h")
    assert client(guarded, key).invoke(FunctionName=echo)["StatusCode"] == 200
    for token in (None, "x" * 64):
        with pytest.raises(ClientError) as caught:
            client(guarded, {**key, "SessionToken": token}).invoke(FunctionName=echo)
        check_error(caught, "UnrecognizedClientException", "The security token included in the request is invalid.")
    with pytest.raises(ClientError) as caught:
        client(guarded, {**guarded.admin, "SessionToken": key["SessionToken"]}).invoke(FunctionName=echo)
    check_error(caught, "UnrecognizedClientException", "The security token included in the request is invalid.")


def test_a_temporary_key_expires(guarded, echo, make_key):
    temporary = client(guarded, make_key("--expires", "2s"))

    def refusal():
        try:
            temporary.invoke(FunctionName=echo)
        except ClientError as error:
            return error
        return None

    error = wait_until(refusal, "the key expires", 10)
    assert error.response["Error"] == {
        "Code": "ExpiredTokenException", "Message": "The security token included in the request is expired"}
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 403


# MARK: requests by hand

def test_every_operation_takes_a_signature_however_it_is_written(guarded, admin, echo):
    execution = admin.invoke(FunctionName=echo, InvocationType="Event", Payload=b"{}")["DurableExecutionArn"]
    encoded, identifier = execution.replace(":", "%3A").replace("/", "%2F"), execution.rsplit("/", 1)[1]
    digest = "sha256:" + "0" * 64
    functions, roost = "/2015-03-31/functions", "/roost/v1"
    paths = [
        functions, f"{functions}/", "/2016-08-19/account-settings",
        "/2017-03-31/tags/" + (ARN + echo).replace(":", "%3A"),
        *(f"{functions}/{echo}{rest}" for rest in (
            "", "/configuration", "/code", "/versions", "/aliases", "/aliases/a", "/invocations")),
        *(f"/{date}/functions/{echo}/{rest}" for date, rest in [
            ("2014-11-13", "invoke-async"), ("2021-11-15", "response-streaming-invocations"),
            ("2017-10-31", "concurrency"), ("2019-09-30", "concurrency"), ("2019-09-30", "provisioned-concurrency"),
            ("2019-09-25", "event-invoke-config"), ("2019-09-25", "event-invoke-config/list"),
            ("2025-12-01", "durable-executions"), ("2024-08-31", "recursion-config"),
            ("2021-07-20", "runtime-management-config"), ("2020-06-30", "code-signing-config")]),
        *(f"/2025-12-01/durable-executions/{encoded}{rest}" for rest in (
            "", "/history", "/stop", "/pause", "/resume")),
        *(f"{roost}/{rest}" for rest in (
            "artifacts/missing", f"artifacts/{digest}", f"manifests/{digest}", "deployments",
            f"functions/{echo}/versions",
            f"functions/{echo}/logs", f"functions/{echo}/logs?follow=true", f"functions/{echo}/aliases/a/rollback",
            f"functions/{echo}/aliases/a/history", "workers", "workers/events", "executions",
            f"executions/{identifier}",
            f"executions/{identifier}/events", f"executions/{identifier}/stop", "host", "audit", "datasets", "datasets/d",
            "datasets/d/versions")),
        "/metrics", "/nothing", "//", "/healthz/", "/./healthz", "/x/../healthz",
    ]
    with guarded.raw(60) as connection:
        for path in paths:
            spellings = {
                path, "/" + path, "/." + path, "/x/.." + path, path + "/", path + "?x=1",
                path.replace("functions", "%66unctions"),
                path.replace("roost", "%72oost")}
            for method in ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"):
                for spelling in spellings:
                    connection.send(f"{method} {spelling} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{{}}")
                    answer = connection.answer(method)
                    assert (answer.status, answer.error) == (403, MISSING), (method, spelling)
                    assert answer.headers["Date"] and answer.headers["x-amzn-RequestId"]
    # Nothing of all that has happened.
    assert admin.get_function(FunctionName=echo)["Configuration"]["State"] == "Active"


def test_what_was_signed_is_what_is_run(guarded, echo):
    key, path = guarded.admin, f"{FUNCTIONS}/{echo}/invocations"
    length = "Content-Length: 7\r\n"

    def answers(head, body=b'{"a":1}', count=1):
        with guarded.raw() as connection:
            connection.send(head + "\r\n")
            connection.send(body)
            return [connection.answer() for _ in range(count)]

    def refused(head, error, body=b'{"a":1}'):
        [answer] = answers(head, body)
        assert (answer.status, answer.error) == (403, error), answer

    def head(more=length, **options):
        return signed_head(guarded, key, "POST", path, b'{"a":1}', more=more, **options)

    assert answers(head())[0].json == {"a": 1}
    # In chunks it is the same body, and another one is another one.
    by_chunks = head("Transfer-Encoding: chunked\r\n")
    assert answers(by_chunks, chunked(b'{"a"', b":1}"))[0].json == {"a": 1}
    refused(by_chunks, "InvalidSignatureException", chunked(b'{"a"', b":2}"))
    # What comes behind the signed body is a request of its own, which nobody has signed.
    first, second = answers(head(), b'{"a":1}' + f"GET {FUNCTIONS} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 2)
    assert first.json == {"a": 1} and second.error == "MissingAuthenticationTokenException"
    # Fields that come once more, or that nobody has signed.
    refused(head(length + "X-Amz-Invocation-Type: Event\r\n"), "IncompleteSignatureException")
    refused(head(length + "X-Amz-Date: 20200101T000000Z\r\n"), "IncompleteSignatureException")
    refused(head(length + "Authorization: AWS4-HMAC-SHA256 x\r\n"), "IncompleteSignatureException")
    twice = head(length + "X-Amz-Invocation-Type: Event\r\n", fields={"X-Amz-Invocation-Type": "RequestResponse"})
    refused(twice, "InvalidSignatureException")
    # Signatures do not tell these paths apart. None of them means the operation.
    for sent in ("/" + path, "/." + path, path + "/.", path.replace(f"/{echo}/", f"/other/../{echo}/")):
        [answer] = answers(head(sent=sent))
        assert answer.status in (403, 404), (sent, answer)
    # A file is what its path says, whatever is said of its signature.
    name = "sha256:" + hashlib.sha256(b"abc").hexdigest()
    upload = signed_head(guarded, key, "PUT", f"/roost/v1/artifacts/{name}", b"abc", more="Content-Length: 3\r\n")
    assert answers(upload, b"abd")[0].error == "DigestMismatch"


def test_a_try_of_a_call_is_its_callers_own(guarded, admin, make_key):
    """The identifier of a call is not signed: whoever has seen it can send it."""
    create_function(admin, "drawing", "import os\ndef handler(event, context):\n    return os.urandom(8).hex()\n")
    path, body, identifier = f"{FUNCTIONS}/drawing/invocations", b'{"a":1}', "amz-sdk-invocation-id: seen\r\n"

    def call(key):
        with guarded.raw() as connection:
            head = signed_head(guarded, key, "POST", path, body, more=identifier + "Content-Length: 7\r\n")
            connection.send(head.encode() + b"\r\n" + body)
            return connection.answer()

    first, other = make_key("--function", "drawing"), make_key("--function", "drawing")
    drawn = call(first).json
    assert call(first).json == drawn and call(other).json != drawn
    stranger = make_key("--function", "echo")
    assert call(stranger).error == "AccessDeniedException"
    assert call({**first, "SecretAccessKey": "x" * 40}).error == "InvalidSignatureException"
    keys(guarded.data, "rm", first["AccessKeyId"])
    wait_until(lambda: not is_known(guarded, first), "the host has forgotten the key", 5)
    assert call(first).error == "UnrecognizedClientException"
    # Not even what is remembered outlives the function.
    admin.delete_function(FunctionName="drawing")
    assert call(other).error == "ResourceNotFoundException"


def test_a_body_that_is_too_long_tells_nothing_to_a_wrong_secret(guarded, echo):
    wrong = {**guarded.admin, "SecretAccessKey": "x" * 40}
    for size, kind in [(2 << 20, "Event"), (8 << 20, "RequestResponse")]:
        body = b'"' + b"x" * size + b'"'
        whole = f"Content-Length: {len(body)}\r\n"
        for more, sent in [("Transfer-Encoding: chunked\r\n", chunked(body)), (whole, body)]:
            told = []
            for name in (echo, "missing"):
                with guarded.raw(30) as connection:
                    head = signed_head(
                        guarded, wrong, "POST", f"{FUNCTIONS}/{name}/invocations", body,
                        {"X-Amz-Invocation-Type": kind}, more)
                    connection.send(head + "\r\n")
                    connection.send(sent)
                    answer = connection.answer()
                    told.append((answer.status, answer.error, answer.body))
            assert told[0] == told[1] and told[0][0] in (403, 413), told


def test_a_payload_that_is_too_long_is_told_as_without_keys(admin, echo):
    for size, kind in [((6 << 20) + 1, "RequestResponse"), ((1 << 20) + 1, "Event")]:
        with pytest.raises(admin.exceptions.RequestTooLargeException) as caught:
            admin.invoke(FunctionName=echo, InvocationType=kind, Payload=b'"' + b"x" * (size - 2) + b'"')
        assert caught.value.response["Error"]["Message"] == (
            f"{size} byte payload is too large for the {kind} invocation type (limit {size - 1} bytes)")
