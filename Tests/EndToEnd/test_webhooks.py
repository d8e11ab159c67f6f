"""Webhooks that hear of executions' ends: signed so that foreign code accepts them, tried again, given up with a reason."""

import base64
import json
import os
import sqlite3
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from roost_host import RoostHost, until

HOOK = "arn:aws:sns:us-east-1:000000000000:hook"
WORK = """
def handler(event, context):
    if event.get("fail"):
        raise ValueError("as asked")
    return {"got": event}
"""


class Receiver:
    """An HTTP server that answers what `answers` says, 204 when that is empty, and keeps what it got."""

    def __init__(self, certificate=None):
        receiver = self
        self.got, self.answers, self.lock = [], [], threading.Lock()
        self.text = b"because"  # of an answer that is no success
        self.gate = threading.Barrier(1)  # an answer that is no success waits at it for others

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with receiver.lock:
                    receiver.got.append((self.path, dict(self.headers), body))
                    status, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
                if status != 204:
                    receiver.gate.wait(20)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                text = b"" if status == 204 else receiver.text
                if status != 204:
                    self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def secret(tmp_path):
    text = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    file = tmp_path / "hook.secret"
    file.write_text(text + "\n")
    file.chmod(0o600)
    return text, file


def settings(url, secret, **more):
    return {
        "retryDelaysSeconds": [], "destinations": {HOOK: {"url": url, "secretFile": str(secret[1]), **more}}}


def prepare(host):
    host.create("work", WORK)
    host.boto3().put_function_event_invoke_config(
        FunctionName="work", DestinationConfig={"OnSuccess": {"Destination": HOOK}, "OnFailure": {"Destination": HOOK}})


def details(host, identifier, kind):
    events = host.call("GET", f"/roost/v1/executions/{identifier}/events")["Events"]
    return [event["Detail"] for event in events if event["Kind"] == kind]


def test_a_webhook_is_signed_so_that_the_schemes_own_library_accepts_it(tmp_path, receiver, secret):
    with RoostHost(tmp_path / "data", settings(f"http://127.0.0.1:{receiver.port}/a?b=c", secret)) as host:
        prepare(host)
        well = host.start_execution("work", {"é": 1})
        until(lambda: details(host, well, "delivered") == [{"target": HOOK}])
        failed = host.start_execution("work", {"fail": True})
        until(lambda: details(host, failed, "delivered"))
    assert len(receiver.got) == 2
    for (path, headers, body), identifier, condition in zip(
            receiver.got, (well, failed), ("Success", "RetriesExhausted")):
        assert path == "/a?b=c" and headers["Content-Type"] == "application/json"
        assert headers["webhook-id"] == identifier
        record = Webhook(secret[0]).verify(body, {name.lower(): value for name, value in headers.items()})
        assert record["requestContext"]["requestId"] == identifier
        assert record["requestContext"]["condition"] == condition
        with pytest.raises(WebhookVerificationError):
            Webhook(secret[0]).verify(body + b" ", {name.lower(): value for name, value in headers.items()})


def test_a_webhook_that_fails_is_tried_again_under_the_same_id(tmp_path, receiver, secret):
    receiver.answers = [(500, {}), (302, {"Location": "/elsewhere"}), (429, {"Retry-After": "2"})]
    with RoostHost(tmp_path / "data", settings(f"http://127.0.0.1:{receiver.port}/", secret)) as host:
        prepare(host)
        identifier = host.start_execution("work", {})
        until(lambda: len(receiver.got) == 2)
        host.kill9()  # it is not forgotten
        host.start()
        until(lambda: details(host, identifier, "delivered"), 30)
        assert details(host, identifier, "delivered")[0]["failures"] in (2, 3)
        assert 'result="failed_try"' in host.request("GET", "/metrics").body.decode()
    assert [path for path, _, _ in receiver.got] == ["/"] * len(receiver.got) and len(receiver.got) >= 4
    assert {headers["webhook-id"] for _, headers, _ in receiver.got} == {identifier}
    assert len({body for _, _, body in receiver.got}) == 1


def test_one_that_a_webhook_refuses_does_not_hold_up_the_others(tmp_path, receiver, secret):
    with RoostHost(tmp_path / "data", settings(f"http://127.0.0.1:{receiver.port}/", secret)) as host:
        prepare(host)
        receiver.answers = [(422, {})]
        refused = host.start_execution("work", {})
        until(lambda: receiver.got)
        others = [host.start_execution("work", {"n": n}) for n in range(50)]
        until(lambda: all(details(host, identifier, "delivered") for identifier in others))
        until(lambda: details(host, refused, "delivered") == [{"target": HOOK, "failures": 1}], 30)


def test_what_a_webhook_answers_makes_no_line_of_the_hosts_log(tmp_path, receiver, secret):
    receiver.answers, receiver.text = [(500, {})], b"no\nroost: all is well \x1b[2J"
    with RoostHost(tmp_path / "data", settings(f"http://127.0.0.1:{receiver.port}/", secret)) as host:
        prepare(host)
        identifier = host.start_execution("work", {})
        until(lambda: details(host, identifier, "delivered"), 20)
        [line] = host.errors.read_text().splitlines()
        assert f"{HOOK} cannot be told" in line and line.endswith("it answered 500: no roost: all is well  [2J")


def test_failures_at_the_same_time_count_as_one(tmp_path, receiver, secret):
    receiver.answers = [(503, {})] * 8
    receiver.gate = threading.Barrier(8)
    with RoostHost(tmp_path / "data", settings(f"http://127.0.0.1:{receiver.port}/", secret)) as host:
        prepare(host)
        told = [host.start_execution("work", {"n": n}) for n in range(8)]
        # A second after it. As eight failures in a row, the pause would be two minutes.
        until(lambda: all(details(host, identifier, "delivered") for identifier in told), 20)
        assert [details(host, identifier, "delivered")[0]["failures"] for identifier in told] == [1] * 8


def test_one_that_is_too_old_is_given_up_with_a_reason(tmp_path, secret):
    with RoostHost(tmp_path / "data", settings("http://127.0.0.1:9/", secret)) as host:
        prepare(host)
        identifier = host.start_execution("work", {})
        until(lambda: 'result="failed_try"} 1' in host.request("GET", "/metrics").body.decode())
        assert details(host, identifier, "undelivered") == []
        host.stop()
        with sqlite3.connect(host.data_dir / "registry.sqlite") as db:
            db.execute("UPDATE delivery SET failures = 9, notBefore = 0, createdAt = createdAt - 90000000")
        host.start()
        until(lambda: details(host, identifier, "undelivered"))
        detail = details(host, identifier, "undelivered")[0]
        assert detail["target"] == HOOK and detail["failures"] == 10
        assert detail["reason"].startswith("no connection: ")
        assert f'roost_deliveries_waiting{{target="{HOOK}"}} 0' in host.request("GET", "/metrics").body.decode()
        host.stop()
        with sqlite3.connect(host.data_dir / "registry.sqlite") as db:
            assert db.execute("SELECT count(*) FROM delivery").fetchone() == (0,)
            assert db.execute("SELECT count(*) FROM deliveryDocument").fetchone() == (0,)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


def test_https_needs_a_certificate_that_is_trusted(tmp_path, secret, certificate):
    receiver = Receiver(certificate)
    url = f"https://localhost:{receiver.port}/"
    try:
        with RoostHost(tmp_path / "data", settings(url, secret)) as host:
            prepare(host)
            identifier = host.start_execution("work", {})
            until(lambda: 'result="failed_try"} 1' in host.request("GET", "/metrics").body.decode())
            until(lambda: "TLS: " in host.errors.read_text())
        assert receiver.got == []
        with RoostHost(tmp_path / "data", settings(url, secret, caFile=str(certificate[0]))) as host:
            until(lambda: details(host, identifier, "delivered"), 30)
        assert json.loads(receiver.got[0][2])["requestContext"]["requestId"] == identifier
    finally:
        receiver.close()


@pytest.mark.parametrize("content,mode,message", [
    (None, None, "there is no such file"), ("whsec_" + "A" * 43 + "=", 0o644, "0600|others"), ("secret", 0o600, "whsec_"),
])
def test_a_host_does_not_start_without_a_good_secret(tmp_path, content, mode, message):
    file = tmp_path / "secret"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    with pytest.raises(AssertionError, match=f"destination {HOOK}: .*({message})"):
        RoostHost(tmp_path / "data", settings("https://localhost/", ("", file))).start()
