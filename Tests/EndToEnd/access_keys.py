"""Hosts that have keys, and clients that sign with them."""

import datetime
import json
import os
import re
import subprocess
from unittest import mock

import boto3
import botocore
import botocore.auth
import botocore.config
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from conftest import BINARY, CREDENTIALS, ECHO, ROLE, Host, make_zip, wait_until

FUNCTIONS = "/2015-03-31/functions"
MISSING = "MissingAuthenticationTokenException"
WRONG_SIGNATURE = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and "
    "signing method. Consult the service documentation for details.")
TRAINER = """
import os, pathlib

def handler(event, context):
    return pathlib.Path(os.environ["ROOST_MODEL_DIR"], "model").read_text()

def train(event, context):
    pathlib.Path(os.environ["ROOST_OUTPUT_DIR"], "model").write_text(event["text"])
    return {}
"""


def keys(data, *arguments, check=0):
    """Runs `roost keys`."""
    done = subprocess.run(
        [BINARY, "keys", *map(str, arguments), "--data-dir", str(data)], capture_output=True, text=True, timeout=30)
    assert done.returncode == check, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def create(data, *arguments):
    return json.loads(keys(data, "create", *arguments, "--json").stdout)


def environment(key=None, **more):
    """A client's environment with one key or none, and nothing of the machine's own."""
    variables = {**CREDENTIALS, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "",
                 "AWS_PROFILE": "", "AWS_REGION": ""}
    if key:
        variables.update(AWS_ACCESS_KEY_ID=key["AccessKeyId"], AWS_SECRET_ACCESS_KEY=key["SecretAccessKey"],
                         AWS_SESSION_TOKEN=key.get("SessionToken", ""))
    return {**variables, **more}


def client(host, key, **options):
    """boto3 as a user sets it up; one attempt, so that an error is seen as it is and not after three."""
    settings = {"retries": {"total_max_attempts": 1}, "read_timeout": 60, **options}
    session = boto3.Session(
        aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"],
        aws_session_token=key.get("SessionToken"), region_name="us-east-1")
    return session.client("lambda", endpoint_url=host.endpoint, config=botocore.config.Config(**settings))


def sign(key, method, url, body=b"", headers=None, now=None):
    """The fields of a request that botocore signed."""
    request = AWSRequest(method=method, url=url, data=body, headers=headers or {})
    now = now or datetime.datetime.now(datetime.timezone.utc)
    credentials = Credentials(key["AccessKeyId"], key["SecretAccessKey"], key.get("SessionToken"))
    with mock.patch("botocore.auth.get_current_datetime", lambda *_, **__: now):
        botocore.auth.SigV4Auth(credentials, "lambda", "us-east-1").add_auth(request)
    return dict(request.headers.items())


def signed_request(host, key, method, path, body=None):
    """Any request, also to Roost's own API."""
    body = b"" if body is None else json.dumps(body).encode()
    fields = sign(key, method, host.endpoint + path, body, {"Content-Type": "application/json"} if body else {})
    return host.request(method, path, body or None, fields)


def create_function(lambda_client, name, source=ECHO, handler="function.handler", **options):
    return lambda_client.create_function(
        FunctionName=name, Role=ROLE, Runtime="python3", Handler=handler,
        Code={"ZipFile": make_zip({"function.py": source})}, **options)


def check_error(caught, code, message=None):
    """A refusal; `message` is all of it, or a pattern that it matches from its start."""
    response = caught.value.response
    assert (response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]) == (403, code), response
    assert response["ResponseMetadata"]["RequestId"]
    said = response["Error"]["Message"]
    if isinstance(message, re.Pattern):
        match = message.match(said)
        assert match, said
        return match
    if message is not None:
        assert said == message
    return None


def denied(operation):
    return re.compile(rf"User: .+ is not authorized to perform: lambda:{operation}\w* on resource: \S+")


def roost(endpoint, *arguments, check=None, **variables):
    done = subprocess.run(
        [BINARY, *map(str, arguments), "--endpoint", endpoint], capture_output=True, text=True, timeout=60,
        env={**os.environ, **environment(), **variables})
    assert check is None or done.returncode == check, done.stdout + done.stderr
    return done


# MARK: - hosts with keys

@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A host that had a key before it started; `admin` may do everything."""
    directory = tmp_path_factory.mktemp("guarded")
    key = create(directory / "data", "--description", "admin")
    it = Host(directory)
    it.admin = key
    yield it
    it.stop()


@pytest.fixture(scope="module")
def admin(guarded):
    return client(guarded, guarded.admin)


@pytest.fixture(scope="module")
def echo(admin):
    """A function that all tests may invoke."""
    create_function(admin, "echo")
    return "echo"


@pytest.fixture
def make_key(guarded):
    """Makes keys of the running host, and returns when it knows them."""
    made = []

    def make(*arguments):
        key = create(guarded.data, *arguments)
        made.append(key["AccessKeyId"])
        wait_until(lambda: is_known(guarded, key), "the host knows its new key", 5)
        return key

    yield make
    for key in made:
        if key in (guarded.data / "keys.json").read_text():
            keys(guarded.data, "rm", key)


def is_known(host, key):
    answer = signed_request(host, key, "GET", FUNCTIONS)
    return answer.error != "UnrecognizedClientException"


def signed_head(host, key, method, path, body, fields=None, more="", sent=None):
    """A head that is signed for `body`, without what tells its length; `sent` is the path that is sent instead."""
    signed = sign(key, method, host.endpoint + path, body, dict(fields or {}))
    lines = "".join(f"{name}: {value}\r\n" for name, value in signed.items() if name.lower() != "host")
    return f"{method} {sent or path} HTTP/1.1\r\nHost: 127.0.0.1:{host.port}\r\n{lines}{more}"


def chunked(*pieces):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
