"""Access keys: made and removed by `roost keys`, and what a host that has some asks of boto3, aws and roost."""

import contextlib
import datetime
import hashlib
import http.server
import json
import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path
from unittest import mock

import boto3
import botocore
import botocore.auth
import botocore.config
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from conftest import ARN, BINARY, CREDENTIALS, ECHO, ROLE, Host, make_zip, wait_until

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


# MARK: - helpers

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


# MARK: - roost keys

@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_key_is_printed_once_in_a_form_for_the_shell(data):
    done = keys(data, "create", "--description", "for the shell")
    script = done.stdout + 'printf "%s\\n" "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" "${AWS_SESSION_TOKEN-none}"'
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env={"AWS_SESSION_TOKEN": "old"})
    key, secret, token = shell.stdout.splitlines()
    assert re.fullmatch(r"RSTK[A-Z2-7]{16}", key) and len(secret) == 40 and token == "none"
    assert "once" in done.stdout and secret not in done.stderr
    assert mode(data / "keys.json") == 0o600

    listed = keys(data, "ls").stdout
    assert key in listed and "for the shell" in listed and secret not in listed
    [entry] = json.loads(keys(data, "ls", "--json").stdout)["Keys"]
    assert entry.pop("CreatedAt") > 1.7e9
    assert entry == {"AccessKeyId": key, "Description": "for the shell", "Functions": ["*"],
                     "Actions": ["invoke", "manage", "train"]}

    assert keys(data, "rm", key).stdout == f"removed {key}\n"
    assert keys(data, "ls").stdout == "no access keys\n"
    again = keys(data, "rm", key, check=1)
    assert f"it has no key {key}" in again.stderr


def test_rights_and_an_expiry_are_chosen_when_a_key_is_made(data):
    key = create(data, "--function", "a-*", "--function", "b", "--action", "train", "--action", "invoke", "--expires", "12h")
    assert key["Functions"] == ["a-*", "b"] and key["Actions"] == ["invoke", "train"]
    assert key["ExpiresAt"] - key["CreatedAt"] == 12 * 3600 and len(key["SessionToken"]) == 64
    listed = keys(data, "ls", "--json").stdout
    assert key["SessionToken"] not in listed and key["SecretAccessKey"] not in listed
    assert "export AWS_SESSION_TOKEN=" in keys(data, "create", "--expires", "1s").stdout
    wait_until(lambda: "(expired)" in keys(data, "ls").stdout, "the second key expires")


@pytest.mark.parametrize("arguments", [
    ("--function", "a/b"), ("--function", ""), ("--action", "admin"), ("--expires", "12"), ("--expires", "0s"),
    ("--expires", "366d"), ("--description", "x" * 257), ("--more",), ("argument",)])
def test_what_makes_no_key_is_wrong_usage(data, arguments):
    keys(data, "create", *arguments, check=2)
    assert not data.exists()


def test_a_directory_that_is_not_there_has_no_keys_to_list(data):
    for arguments in (["ls"], ["rm", "RSTKAAAAAAAAAAAAAAAA"]):
        assert "--data-dir" in keys(data, *arguments, check=2).stderr


@pytest.mark.parametrize("damage", ["open", "torn", "unknown"])
def test_a_file_that_cannot_be_trusted_is_refused_and_kept(data, damage):
    create(data)
    file = data / "keys.json"
    if damage == "open":
        file.chmod(0o644)
    elif damage == "torn":
        file.write_bytes(file.read_bytes()[:-20])
    else:
        file.write_text(json.dumps({**json.loads(file.read_text()), "admin": True}))
    before = file.read_bytes()
    for arguments in (["ls"], ["create"], ["rm", "RSTKAAAAAAAAAAAAAAAA"]):
        done = keys(data, *arguments, check=1)
        assert str(file) in done.stderr and done.stdout == ""
    assert file.read_bytes() == before


def test_keys_made_at_the_same_time_are_all_kept(data):
    data.mkdir()
    running = [
        subprocess.Popen([BINARY, "keys", "create", "--json", "--data-dir", data], stdout=subprocess.PIPE)
        for _ in range(12)]
    made = {json.loads(process.communicate(timeout=60)[0])["AccessKeyId"] for process in running}
    assert len(made) == 12
    assert {key["AccessKeyId"] for key in json.loads(keys(data, "ls", "--json").stdout)["Keys"]} == made


# MARK: - what roost's verbs sign

@contextlib.contextmanager
def recorder():
    """A server that keeps what it is sent, and answers as a host that lacks every file."""
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            requests.append((self.command, self.path, self.headers, body))
            answer = {"Missing": json.loads(body)["Digests"]} if self.path.endswith("/artifacts/missing") else {}
            answer = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def roost(endpoint, *arguments, check=None, **variables):
    done = subprocess.run(
        [BINARY, *map(str, arguments), "--endpoint", endpoint], capture_output=True, text=True, timeout=60,
        env={**os.environ, **environment(), **variables})
    assert check is None or done.returncode == check, done.stdout + done.stderr
    return done


def check_signature(request, key, region="us-east-1"):
    """Signs the request again with botocore, which has to come to the same."""
    method, path, headers, body = request
    time = datetime.datetime.strptime(headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    assert abs((datetime.datetime.now(datetime.timezone.utc) - time).total_seconds()) < 60
    names = re.search(r"SignedHeaders=([^,]+)", headers["Authorization"])[1].split(";")
    kept = {name: headers[name] for name in names if name not in ("host", "x-amz-date", "x-amz-security-token")}
    again = AWSRequest(method=method, url=f"http://{headers['Host']}{path}", data=body, headers=kept)
    credentials = Credentials(key["AccessKeyId"], key["SecretAccessKey"], key.get("SessionToken"))
    with mock.patch("botocore.auth.get_current_datetime", lambda *_, **__: time):
        botocore.auth.SigV4Auth(credentials, "lambda", region).add_auth(again)
    assert headers["Authorization"] == again.headers["Authorization"]
    assert headers["X-Amz-Security-Token"] == key.get("SessionToken")
    return names


KEY = {"AccessKeyId": "RSTKAAAAAAAAAAAAAAAA", "SecretAccessKey": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}


def test_every_request_of_a_verb_is_signed_as_botocore_would(tmp_path):
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "f.py").write_text(ECHO)
    # Over a mebibyte, so that the verb asks before it sends.
    (folder / "data.bin").write_bytes(os.urandom(3 << 20))
    (folder / "function.json").write_text(json.dumps({"name": "f", "runtime": "python3", "handler": "f.handler"}))
    with recorder() as (endpoint, requests):
        roost(endpoint + "/base/path/", "deploy", folder, **environment(KEY))
        roost(endpoint, "invoke", "arn:aws:lambda:us-east-1:000000000000:function:f:1", "-d", '{"ä": 1}', check=0,
              **environment(KEY))
        roost(endpoint, "invoke", "größe/x", "--async", "--name", "n", **environment(KEY))
        roost(endpoint, "functions", "rm", "f", **environment(KEY))
        roost(endpoint, "ps", check=0, **environment(KEY))
    assert len(requests) >= 9
    for request in requests:
        check_signature(request, KEY)
    uploads = [request for request in requests if "/artifacts/sha256" in request[1]]
    assert len(uploads) == 2
    for method, path, headers, body in uploads:
        assert (method, headers["X-Amz-Content-SHA256"]) == ("PUT", hashlib.sha256(body).hexdigest())
        assert path == f"/base/path/roost/v1/artifacts/sha256:{hashlib.sha256(body).hexdigest()}"
    assert {request[0] for request in requests} == {"GET", "POST", "PUT", "DELETE"}
    [start] = [request for request in requests if "X-Amz-Invocation-Type" in request[2]]
    assert {"x-amz-invocation-type", "x-amz-durable-execution-name"} <= set(check_signature(start, KEY))


def test_the_key_is_found_as_the_aws_command_finds_it(tmp_path):
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = DEFAULT\naws_secret_access_key = d\n"
                    "[work]\naws_access_key_id = WORK\naws_secret_access_key = w\naws_session_token = t\n")
    default = {"AccessKeyId": "DEFAULT", "SecretAccessKey": "d"}
    work = {"AccessKeyId": "WORK", "SecretAccessKey": "w", "SessionToken": "t"}
    named = {"AWS_SHARED_CREDENTIALS_FILE": str(file)}
    temporary = {**KEY, "SessionToken": "token=="}
    with recorder() as (endpoint, requests):
        for arguments, variables, expected in [
            ([], {}, None), ([], environment(temporary), temporary), ([], named, default),
            ([], {**named, "AWS_PROFILE": "work"}, work), (["--profile", "work"], named, work),
            ([], {**environment(KEY, AWS_PROFILE="work"), **named}, KEY),
            (["--profile", "work"], {**environment(KEY), **named}, work),
        ]:
            roost(endpoint, "ps", *arguments, check=0, **variables)
            request = requests.pop()
            if expected:
                check_signature(request, expected)
            else:
                assert "Authorization" not in request[2] and "X-Amz-Date" not in request[2]
        roost(endpoint, "ps", check=0, **environment(KEY, AWS_REGION="eu-north-1"))
        check_signature(requests.pop(), KEY, "eu-north-1")


@pytest.mark.parametrize("arguments, variables, message", [
    ([], {"AWS_ACCESS_KEY_ID": "a"}, "AWS_SECRET_ACCESS_KEY is not"),
    ([], {"AWS_SECRET_ACCESS_KEY": "a"}, "AWS_ACCESS_KEY_ID is not"),
    (["--profile", "x"], {}, "there is no profile 'x'"),
    ([], {"AWS_PROFILE": "x"}, "there is no profile 'x'"),
    ([], {"AWS_SHARED_CREDENTIALS_FILE": "/nowhere/file"}, "/nowhere/file"),
    ([], environment(KEY, AWS_REGION="no region"), "'no region' is no region")])
def test_a_key_that_cannot_be_used_is_told_before_any_request(arguments, variables, message):
    with recorder() as (endpoint, requests):
        done = roost(endpoint, "ps", *arguments, check=2, **variables)
    assert message in done.stderr and not requests


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


# MARK: rights

def test_a_key_is_for_the_functions_that_it_names(guarded, admin, echo, make_key):
    create_function(admin, "team-a")
    create_function(admin, "team-b")
    try:
        team = client(guarded, make_key("--function", "team-*"))
        for name in ("team-a", "team-b", ARN + "team-a"):
            assert team.invoke(FunctionName=name)["StatusCode"] == 200
        team.update_function_configuration(FunctionName="team-a", Timeout=4)
        create_function(team, "team-c")
        team.delete_function(FunctionName="team-c")
        for operation, call in [
            ("Invoke", lambda: team.invoke(FunctionName=echo)),
            ("Invoke", lambda: team.invoke(FunctionName=echo, InvocationType="Event")),
            ("GetFunction", lambda: team.get_function(FunctionName=echo)),
            ("DeleteFunction", lambda: team.delete_function(FunctionName=echo)),
            ("UpdateFunctionConfiguration", lambda: team.update_function_configuration(FunctionName=echo, Timeout=4)),
            ("CreateFunction", lambda: create_function(team, "others")),
            # Nor may it have others invoked.
            ("InvokeFunction", lambda: team.put_function_event_invoke_config(
                FunctionName="team-a", DestinationConfig={"OnSuccess": {"Destination": echo}})),
            # Of the host as a whole.
            ("ListFunctions", team.list_functions),
        ]:
            with pytest.raises(ClientError) as caught:
                call()
            check_error(caught, "AccessDeniedException", denied(operation))
        assert admin.get_function_configuration(FunctionName=echo)["Timeout"] == 3
    finally:
        admin.delete_function(FunctionName="team-a")
        admin.delete_function(FunctionName="team-b")


def test_a_key_that_may_only_invoke_changes_nothing(guarded, admin, echo, make_key):
    key = make_key("--action", "invoke")
    invoker = client(guarded, key)
    assert invoker.invoke(FunctionName=echo, Payload=b"1")["StatusCode"] == 200
    assert invoker.invoke(FunctionName=echo, InvocationType="Event")["StatusCode"] == 202
    before = admin.get_function(FunctionName=echo)["Configuration"]
    for operation, call in [
        ("CreateFunction", lambda: create_function(invoker, "invoked")),
        ("UpdateFunctionCode", lambda: invoker.update_function_code(
            FunctionName=echo, ZipFile=make_zip({"function.py": ECHO + "#"}))),
        ("UpdateFunctionConfiguration", lambda: invoker.update_function_configuration(FunctionName=echo, Timeout=9)),
        ("PublishVersion", lambda: invoker.publish_version(FunctionName=echo)),
        ("CreateAlias", lambda: invoker.create_alias(FunctionName=echo, Name="a", FunctionVersion="$LATEST")),
        ("PutFunctionConcurrency", lambda: invoker.put_function_concurrency(
            FunctionName=echo, ReservedConcurrentExecutions=1)),
        ("DeleteFunction", lambda: invoker.delete_function(FunctionName=echo)),
    ]:
        with pytest.raises(ClientError) as caught:
            call()
        check_error(caught, "AccessDeniedException", denied(operation))
    digest = hashlib.sha256(b"{}").hexdigest()
    for method, path, body in [
        ("POST", "/roost/v1/deployments", {}), ("POST", "/roost/v1/functions/echo/aliases/a/rollback", {}),
        ("POST", "/roost/v1/artifacts/missing", {"Digests": []}), ("PUT", f"/roost/v1/artifacts/sha256:{digest}", {}),
    ]:
        answer = signed_request(guarded, key, method, path, body)
        assert (answer.status, answer.error) == (403, "AccessDeniedException"), path
    assert admin.get_function(FunctionName=echo)["Configuration"] == before


def test_a_key_that_may_not_invoke_does_not(guarded, echo, make_key):
    manager = client(guarded, make_key("--action", "manage"))
    manager.update_function_configuration(FunctionName=echo, Description="managed")
    for kind in ("RequestResponse", "Event"):
        with pytest.raises(ClientError) as caught:
            manager.invoke(FunctionName=echo, InvocationType=kind)
        check_error(caught, "AccessDeniedException", denied("Invoke"))


def test_trainings_are_a_right_of_their_own(guarded, admin, echo, make_key):
    create_function(admin, "model", TRAINER)
    create_function(
        admin, "model-train", TRAINER, "function.train", Environment={"Variables": {"ROOST_TRAINS": "model"}}, Timeout=60)
    try:
        trainer = client(guarded, make_key("--action", "train"))
        for action in ("invoke", "manage"):
            with pytest.raises(ClientError) as caught:
                client(guarded, make_key("--action", action)).invoke(
                    FunctionName="model-train", InvocationType="Event", Payload=b'{"text": "no"}')
            check_error(caught, "AccessDeniedException", denied("Invoke"))
        for name in (echo, "model"):
            with pytest.raises(ClientError) as caught:
                trainer.invoke(FunctionName=name)
            check_error(caught, "AccessDeniedException", denied("Invoke"))
        accepted = trainer.invoke(FunctionName="model-train", InvocationType="Event", Payload=b'{"text": "trained"}')
        arn = accepted["DurableExecutionArn"]
        wait_until(
            lambda: admin.get_durable_execution(DurableExecutionArn=arn)["Status"] == "SUCCEEDED", "the training ends")
        answer = admin.invoke(FunctionName="model", Qualifier="1")
        assert json.loads(answer["Payload"].read()) == "trained"
    finally:
        admin.delete_function(FunctionName="model-train")
        admin.delete_function(FunctionName="model")


def test_a_key_has_nothing_trained_that_it_is_not_for(guarded, admin, make_key):
    """Neither by naming the function, nor by another key's training, nor by a destination, nor by an older version."""
    trains = {"Variables": {"ROOST_TRAINS": "mine-not"}}
    for name, handler, options in [
        ("mine-not", "function.handler", {}), ("mine", "function.handler", {}),
        ("its-train", "function.train", {"Environment": trains, "Publish": True})]:
        create_function(admin, name, TRAINER, handler, Timeout=60, **options)
    others = client(guarded, make_key("--function", "mine*", "--function", "its-train"))
    mine = client(guarded, make_key("--function", "mine", "--function", "mine-train", "--function", "its-train"))
    invoker = client(guarded, make_key("--action", "invoke"))
    try:
        def refused(operation, call, **arguments):
            with pytest.raises(ClientError) as caught:
                call(**arguments)
            check_error(caught, "AccessDeniedException", denied(operation))

        refused("CreateFunction", create_function, lambda_client=mine, name="mine-train", source=TRAINER,
                Environment=trains)
        refused("UpdateFunctionConfiguration", mine.update_function_configuration, FunctionName="mine",
                Environment=trains)
        event = {"InvocationType": "Event", "Payload": b'{"text": "no"}'}
        refused("Invoke", mine.invoke, FunctionName="its-train", **event)
        refused("Invoke", mine.put_function_event_invoke_config, FunctionName="mine",
                DestinationConfig={"OnSuccess": {"Destination": ARN + "its-train"}})
        admin.update_function_configuration(FunctionName="its-train", Environment={"Variables": {}})
        refused("Invoke", invoker.invoke, FunctionName="its-train", Qualifier="1", **event)
        assert [it["Version"] for it in admin.list_versions_by_function(FunctionName="mine-not")["Versions"]] == [
            "$LATEST"]
        # Who is for all of them may.
        assert others.invoke(FunctionName="its-train", Qualifier="1", **event)["StatusCode"] == 202
        wait_until(
            lambda: len(admin.list_versions_by_function(FunctionName="mine-not")["Versions"]) == 2, "it is trained")
    finally:
        for name in ("its-train", "mine", "mine-not"):
            admin.delete_function(FunctionName=name)


# MARK: requests by hand

def signed_head(host, key, method, path, body, fields=None, more="", sent=None):
    """A head that is signed for `body`, without what tells its length; `sent` is the path that is sent instead."""
    signed = sign(key, method, host.endpoint + path, body, dict(fields or {}))
    lines = "".join(f"{name}: {value}\r\n" for name, value in signed.items() if name.lower() != "host")
    return f"{method} {sent or path} HTTP/1.1\r\nHost: 127.0.0.1:{host.port}\r\n{lines}{more}"


def chunked(*pieces):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


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


# MARK: keys of a running host

def test_a_running_host_notices_keys_that_come_and_go(guarded, echo):
    key = create(guarded.data)
    wait_until(lambda: is_known(guarded, key), "the host knows its new key", 5)
    assert client(guarded, key).invoke(FunctionName=echo)["StatusCode"] == 200
    keys(guarded.data, "rm", key["AccessKeyId"])
    wait_until(lambda: not is_known(guarded, key), "the host has forgotten the key", 5)
    with pytest.raises(ClientError) as caught:
        client(guarded, key).invoke(FunctionName=echo)
    check_error(caught, "UnrecognizedClientException", "The security token included in the request is invalid.")
    assert client(guarded, guarded.admin).invoke(FunctionName=echo)["StatusCode"] == 200


def test_what_was_begun_with_a_key_ends_with_it(guarded, admin, make_key):
    """A body that took its time, and a log that is followed."""
    create_function(admin, "printing", "def handler(event, context):\n    print('said', event, flush=True)\n")
    key = make_key()
    with guarded.raw() as late, guarded.raw() as follower:
        head = signed_head(
            guarded, key, "POST", f"{FUNCTIONS}/printing/invocations", b'"late"', more="Content-Length: 6\r\n")
        late.send(head + '\r\n"la')
        logs = signed_head(guarded, key, "GET", "/roost/v1/functions/printing/logs?follow=true", b"")
        follower.send(logs + "\r\n")
        assert follower.file.peek(1)
        admin.invoke(FunctionName="printing", Payload=b'"before"')
        keys(guarded.data, "rm", key["AccessKeyId"])
        wait_until(lambda: not is_known(guarded, key), "the host has forgotten the key", 5)
        late.send('te"')
        assert late.answer().error == "UnrecognizedClientException"
        admin.invoke(FunctionName="printing", Payload=b'"after"')
        followed = follower.answer().body
        assert b"said before" in followed and b"said after" not in followed
    log = signed_request(guarded, guarded.admin, "GET", "/roost/v1/functions/printing/logs").body
    assert b"said after" in log and b"said late" not in log
    admin.delete_function(FunctionName="printing")


def test_keys_are_there_after_a_restart(make_host, tmp_path):
    key = create(tmp_path / "data")
    host = make_host(directory=tmp_path)
    create_function(client(host, key), "kept")
    host.stop()
    host.start()
    assert client(host, key).invoke(FunctionName="kept")["StatusCode"] == 200
    assert host.request("POST", f"{FUNCTIONS}/kept/invocations", b"{}").status == 403


def test_a_host_does_not_start_with_keys_that_it_cannot_trust(tmp_path):
    create(tmp_path / "data")
    (tmp_path / "data" / "keys.json").chmod(0o644)
    done = subprocess.run(
        [BINARY, "serve", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data"], capture_output=True, text=True,
        timeout=30)
    assert done.returncode == 1 and "keys.json" in done.stderr and "0644" in done.stderr
    assert "listening" not in done.stdout


def test_what_a_web_page_sends_is_refused_with_keys_as_without(guarded, echo):
    path = f"{FUNCTIONS}/{echo}/invocations"
    answer = guarded.request("POST", path, b"{}", {"Origin": "https://elsewhere.example"})
    assert answer.status == 403


# MARK: - other clients

def test_the_aws_command_signs(guarded, echo, tmp_path):
    aws = Path(sys.executable).with_name("aws")
    out = tmp_path / "out.json"

    def invoke(key):
        return subprocess.run(
            [aws, "--endpoint-url", guarded.endpoint, "lambda", "invoke", "--function-name", ARN + echo, "--payload",
             '{"text": "世界"}', out], capture_output=True, text=True, timeout=60,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **CREDENTIALS,
                 "AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]})

    done = invoke(guarded.admin)
    assert done.returncode == 0, done.stderr
    assert json.loads(out.read_text()) == {"text": "世界"}
    refused = invoke({**guarded.admin, "SecretAccessKey": "x" * 40})
    assert refused.returncode != 0 and "InvalidSignatureException" in refused.stderr


def test_the_verbs_of_roost_sign(guarded, tmp_path, make_key):
    folder = tmp_path / "verbs"
    folder.mkdir()
    (folder / "verbs.py").write_text(ECHO)
    (folder / "data.bin").write_bytes(os.urandom(3 << 20))
    (folder / "function.json").write_text(
        json.dumps({"name": "verbs", "runtime": "python3", "handler": "verbs.handler"}))
    variables = environment(guarded.admin)
    guarded.roost("deploy", folder, "--publish", check=0, environment=variables)
    guarded.roost("alias", "set", "verbs", "live", "1", check=0, environment=variables)
    assert guarded.roost("invoke", "verbs:live", "-d", '{"a": 1}', check=0, environment=variables).stdout.strip() == '{"a": 1}'
    assert guarded.roost("logs", "verbs", check=0, environment=variables).stderr == ""
    guarded.roost("ps", check=0, environment=variables)
    guarded.roost("doctor", "--json", environment=variables)

    key = make_key("--action", "invoke", "--expires", "1h")
    file = tmp_path / "credentials"
    file.write_text(
        f"[reader]\naws_access_key_id = {key['AccessKeyId']}\naws_secret_access_key = {key['SecretAccessKey']}\n"
        f"aws_session_token = {key['SessionToken']}\n")
    profiled = environment(AWS_SHARED_CREDENTIALS_FILE=str(file))
    assert guarded.roost("invoke", "verbs", "--profile", "reader", check=0, environment=profiled).stdout.strip() == "{}"
    refused = guarded.roost("functions", "rm", "verbs", "--profile", "reader", check=1, environment=profiled)
    assert "AccessDeniedException" in refused.stderr
    refused = guarded.roost("invoke", "verbs", check=1, environment=environment())
    assert "Missing Authentication Token (MissingAuthenticationTokenException, HTTP 403)" in refused.stderr
    guarded.roost("functions", "rm", "verbs", check=0, environment={**profiled, **environment(guarded.admin)})


# MARK: - the audit trail

def test_every_change_is_in_the_audit_trail_with_its_key(guarded, admin, make_key):
    key = make_key("--function", "audited", "--description", "auditor")
    editor = client(guarded, key)

    def request_id(answer):
        return answer["ResponseMetadata"]["RequestId"]

    changes = [
        ("CreateFunction", create_function(editor, "audited")),
        ("UpdateFunctionConfiguration", editor.update_function_configuration(FunctionName="audited", Timeout=5)),
        ("UpdateFunctionCode", editor.update_function_code(
            FunctionName="audited", ZipFile=make_zip({"function.py": ECHO + "# 2"}))),
        ("PublishVersion", editor.publish_version(FunctionName="audited")),
        ("CreateAlias", editor.create_alias(FunctionName="audited", Name="live", FunctionVersion="1")),
        ("UpdateAlias", editor.update_alias(FunctionName="audited", Name="live", FunctionVersion="$LATEST")),
        ("PutFunctionConcurrency", editor.put_function_concurrency(
            FunctionName="audited", ReservedConcurrentExecutions=2)),
        ("DeleteFunctionConcurrency", editor.delete_function_concurrency(FunctionName="audited")),
        ("DeleteAlias", editor.delete_alias(FunctionName="audited", Name="live")),
        ("DeleteFunction", editor.delete_function(FunctionName="audited")),
    ]
    # Neither a look nor a refusal is a change.
    admin.list_functions()
    with pytest.raises(ClientError):
        create_function(editor, "not-audited")
    listed = json.loads(
        guarded.roost("audit", "-n", "1000", "--json", check=0, environment=environment(guarded.admin)).stdout)["Entries"]
    rows = [row for row in listed if row["Key"] == key["AccessKeyId"]]
    # Newest first.
    assert [(row["Operation"], row["Function"], row["RequestId"]) for row in reversed(rows)] == [
        (operation, "audited", request_id(answer)) for operation, answer in changes]
    assert [row["At"] for row in rows] == sorted((row["At"] for row in rows), reverse=True)
    assert not any(row["Function"] == "not-audited" for row in listed)
    assert not any(row["Key"] == "anonymous" for row in listed)
    text = json.dumps(listed) + guarded.stderr
    assert key["SecretAccessKey"] not in text and guarded.admin["SecretAccessKey"] not in text
