"""Access keys: made and removed by `roost keys`, and how `roost` signs with them."""

import contextlib
import datetime
import hashlib
import http.server
import json
import os
import re
import stat
import subprocess
import threading
from unittest import mock

import botocore
import botocore.auth
import botocore.config
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from access_keys import create, environment, keys, roost
from conftest import BINARY, ECHO, wait_until

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
