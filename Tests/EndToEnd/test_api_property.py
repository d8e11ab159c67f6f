"""Whatever is sent, the host answers in well-formed HTTP, blames the client, and serves on.

Requests are made of the service's own model. ROOST_TEST_SEED repeats a run; a failure names its seed.
"""

import base64
import email.utils
import json
import os
import random
import re
import socket
import time
from urllib.parse import quote

import pytest

from conftest import ARN, ROLE, Host, make_zip, wait_until
from lambda_api import MODEL, UUID, path_of

SEED = int(os.environ.get("ROOST_TEST_SEED") or int.from_bytes(os.urandom(4)))
REQUESTS = 6000
ZIP = base64.b64encode(make_zip({"function.py": "def handler(event, context):\n    return event\n"})).decode()


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """A host with few workers, a function `echo` that keeps, and a function `victim` that does not."""
    it = Host(tmp_path_factory.mktemp("host"), {
        "workersMax": 4, "queueWaitSeconds": 2, "shutdownSeconds": 2, "retryDelaysSeconds": [0, 0]})
    restore(it)
    yield it
    it.stop()


def restore(host):
    for name in ("echo", "victim"):
        host.request("DELETE", f"/2015-03-31/functions/{name}/aliases/live")
        host.request("DELETE", f"/2015-03-31/functions/{name}")
        made = host.request("POST", "/2015-03-31/functions", {
            "FunctionName": name, "Role": ROLE, "Runtime": "python3", "Handler": "function.handler", "Timeout": 5,
            "Code": {"ZipFile": ZIP}})
        assert made.status == 201, made.body
        version = host.request("POST", f"/2015-03-31/functions/{name}/versions", {}).json["Version"]
        host.request("POST", f"/2015-03-31/functions/{name}/aliases", {"Name": "live", "FunctionVersion": version})
    started = host.request("POST", "/2015-03-31/functions/victim/invocations", {}, {"X-Amz-Invocation-Type": "Event"})
    return started.headers["X-Amz-Durable-Execution-Arn"]


# MARK: reading answers strictly

class Malformed(AssertionError):
    pass


def demand(claim, *what):
    if not claim:
        raise Malformed(*what)


class Answers:
    """The answers on one connection, read to the letter of RFC 9112."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=15)
        self.buffer = b""

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it hung up; its answer may be there all the same

    def more(self):
        try:
            piece = self.socket.recv(1 << 16)
        except ConnectionResetError:
            piece = b""
        self.buffer += piece
        return bool(piece)

    def until(self, mark):
        while (at := self.buffer.find(mark)) < 0:
            demand(self.more(), "ended in the middle", self.buffer[:200])
        found, self.buffer = self.buffer[:at], self.buffer[at + len(mark):]
        return found

    def take(self, count):
        while len(self.buffer) < count:
            demand(self.more(), "ended in the body", count, len(self.buffer))
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found

    def next(self, method):
        """(status, {header in lower case: value}, body), or None when the connection ended instead."""
        if not self.buffer and not self.more():
            return None
        line, *fields = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.1 ([1-5]\d\d) [\x20-\x7e]*", line)
        demand(match, "status line", line)
        status = int(match[1])
        headers = {}
        for field in fields:
            match = re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\x80-\xff]*?)[ \t]*", field)
            demand(match, "header field", field)
            demand(match[1].lower() not in headers, "a header twice", field)
            headers[match[1].lower()] = match[2]
        if status < 200:
            demand(status == 100 and not headers, "an interim answer that nobody asked for", status, headers)
            return self.next(method)
        framed = [name for name in ("content-length", "transfer-encoding") if name in headers]
        if status in (204, 304):
            demand(not framed, "a body of an answer that has none", headers)
            return status, headers, b""
        demand(len(framed) == 1, "framing", headers)
        if method == "HEAD":
            return status, headers, b""
        if framed == ["content-length"]:
            demand(headers["content-length"].isdigit(), "length", headers)
            return status, headers, self.take(int(headers["content-length"]))
        demand(headers["transfer-encoding"] == "chunked", "coding", headers)
        body = b""
        while True:
            size = int(self.until(b"\r\n"), 16)
            body += self.take(size)
            demand(self.take(2) == b"\r\n", "the end of a chunk")
            if size == 0:
                return status, headers, body


def check(answer, method, allowed=()):
    """What every answer has. `allowed` are statuses from 500 that are right for this request."""
    status, headers, body = answer
    demand(status < 500 or status in allowed, "the host blames itself", status, body[:500])
    demand(re.fullmatch(UUID, headers.get("x-amzn-requestid", "")), "x-amzn-RequestId", status, headers)
    date = headers.get("date", "")
    demand(re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", date), "Date", status, headers)
    demand(abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time()) < 10, "an old Date", date)
    demand(300 > status or status >= 400, "a redirection", status)
    if status >= 400 and method != "HEAD":
        # What is refused before it reaches an API ends the connection and has no name.
        named = re.fullmatch(r"[A-Za-z]+", headers.get("x-amzn-errortype", ""))
        demand(named or headers.get("connection") == "close" and status in (400, 408, 413, 417, 431, 501, 505),
               "x-amzn-ErrorType", status, headers, body)
        demand(headers.get("content-type") == "application/json", "Content-Type", headers)
        error = json.loads(body)
        message = error.get("message") or error.get("Message")
        demand(isinstance(message, str) and message, "message", body)
        demand("message" not in error or "Message" not in error, "two messages", body)
    elif body and headers.get("content-type") == "application/json":
        json.loads(body)


# MARK: what there is to ask for

def operations():
    """(name, method, path with {names}, query members, header members, body members) of all operations."""
    for name in MODEL.operation_names:
        model = MODEL.operation_model(name)
        members = model.input_shape.members if model.input_shape else {}
        by_place = {"querystring": {}, "header": {}, None: {}}
        for member, shape in members.items():
            place = shape.serialization.get("location")
            if place in by_place:
                by_place[place][shape.serialization.get("name", member)] = shape
        yield name, model.http["method"], model.http["requestUri"], *by_place.values()


OPERATIONS = list(operations())
# What no path of the host's is for; asked for now and then, too.
ELSEWHERE = re.compile(
    "Layer|EventSource|SigningConfigs?$|Capacity|Url|Policy|Permission|Callback|Scaling|Checkpoint|State$")
HERE = [operation for operation in OPERATIONS if not ELSEWHERE.search(operation[0])]
HERE += [operation for operation in HERE if operation[0].startswith("Invoke")] * 3
OWN = [("GET", path) for path in (
    "/healthz", "/readyz", "/metrics", "/", "/roost/v1/workers", "/roost/v1/host", "/roost/v1/executions",
    "/roost/v1/executions/{Id}", "/roost/v1/executions/{Id}/events", "/roost/v1/functions/{FunctionName}/versions",
    "/roost/v1/functions/{FunctionName}/logs", "/roost/v1/functions/{FunctionName}/aliases/{Name}/history")
] + [("POST", path) for path in (
    "/roost/v1/artifacts/missing", "/roost/v1/deployments", "/roost/v1/executions/{Id}/stop",
    "/roost/v1/functions/{FunctionName}/aliases/{Name}/rollback")
] + [("PUT", "/roost/v1/artifacts/{Digest}"), ("PUT", "/roost/v1/manifests/{Digest}")]
# Headers that decide what an invocation is.
GOOD = {"X-Amz-Invocation-Type": ["Event", "DryRun", "RequestResponse"], "X-Amz-Log-Type": ["Tail", "None"],
        "X-Amz-Client-Context": ["e30="], "X-Amz-Durable-Execution-Name": ["a", "b", "c"],
        "amz-sdk-invocation-id": ["a", "b"]}
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]


class Chance(random.Random):
    """Makes requests."""

    def one_in(self, count):
        return self.randrange(count) == 0

    # MARK: heads

    def name(self, parameter, arns):
        """Mostly of something that is there."""
        if not self.one_in(5):
            return self.choice({
                "FunctionName": ["echo", "echo", "victim", "echo:live", "echo:1", ARN + "echo"],
                "DurableExecutionArn": arns, "Resource": [ARN + "echo"], "Name": ["live"],
                "Id": [arn.rpartition("/")[2] for arn in arns]}.get(parameter, ["echo", "live", "1", *arns]))
        return self.choice([
            "function:echo", "nowhere", "1", "$LATEST", "", ".", "..", "a/b", "世界",
            "a" * self.choice([64, 65, 140, 256, 257, 5000]),
            "\0", "\x7f", "a b", "%", "%2F", "+", "'", '"', "\\", "*", "?", "#", ";", "é\u0301", "\U0001f600", "\r\n",
            "sha256:" + "0" * 64, "arn:aws:lambda:eu-west-1:000000000000:function:echo", ":" * 7, "-1", "0" * 30])

    def segment(self, parameter, arns):
        text = self.name(parameter, arns)
        if self.one_in(8):  # bytes that are no UTF-8, and what needs no encoding encoded
            return "".join(f"%{byte:02{self.choice('xX')}}" for byte in self.choice([text.encode(), self.randbytes(4)]))
        return quote(text, safe=self.choice(["", "", ":$", "/"]))

    def path(self, template, arns):
        path = re.sub(r"\{(\w+)\+?\}", lambda match: self.segment(match[1], arns), template)
        if self.one_in(6):
            path, _, query = path.partition("?")
            segments = path.split("/")
            at = self.randrange(len(segments)) or len(segments) - 1
            match self.randrange(7):
                case 0: segments[at:at] = [self.choice(["", ".", "..", "%2e", "%2E%2e", self.segment("", arns)])]
                case 1: del segments[at]
                case 2: segments[at] = self.segment("", arns)
                case 3: segments.append("")
                case 4: segments[at] = segments[at].swapcase()
                case 5: segments[at:at] = segments[at:at + 1] * self.choice([1, 2, 500])
                case 6: segments[at] += self.choice(["%", "%4", "%zz", "é", "\t", "#", "[", "\\", "|", "~", "*"])
            path = "/".join(segments) + ("?" + query if query else "")
            if not path.startswith("/"):
                path = "/" + path
        return path

    def query(self, members):
        pairs = []
        for _ in range(self.choice([0, 0, 1, 1, 1, 2, 3]) if not self.one_in(50) else 40):
            key = self.choice([
                *members, "Qualifier", "Marker", "MaxItems", "List", "find", "lines", "limit", "x", "", "%00"])
            value = self.choice([
                "", "1", "0", "-1", "true", "false", "TRUE", "live", "$LATEST", "ALL", "LayerVersion", "RUNNING",
                "9" * 30, "1e400", "nan", "%00", "%ff", "a+b", "a%20b", "x" * 300, "2026-01-01T00%3A00%3A00Z",
                "0001-01-01T00:00:00Z", "9999-12-31T23:59:60+23:59", "MTIz", quote("世界"), "a=b", "=", "&"])
            if self.one_in(100):
                value = self.choice(["%", "%4", "%zz", "é", "[", "<"])
            pairs.append(key + self.choice(["=", "=", "=", ""]) + value)
        # It never ends by itself.
        return "&".join(pair for pair in pairs if not pair.lower().startswith("follow"))

    def headers(self, members):
        found = {}
        for name in self.sample([
                *GOOD, *members, "X-Amz-Security-Token", "X-Amz-Tenant-Id", "X-Amzn-Trace-Id", "X-Amz-Date",
                "X-Amz-Target",
                "X-Amz-Content-SHA256", "amz-sdk-invocation-id", "amz-sdk-request", "Content-Type", "Content-Encoding",
                "Accept", "Accept-Encoding", "Authorization", "Cookie", "If-None-Match", "Range", "Upgrade", "TE",
                "Connection", "Keep-Alive", "User-Agent", "X-Forwarded-For", "X-HTTP-Method-Override"],
                self.choice([0, 1, 1, 2, 3, 12])):
            if name in GOOD and self.one_in(2):
                found[name] = self.choice(GOOD[name])
                continue
            found[name] = self.choice([
                "", "Event", "DryRun", "RequestResponse", "event", "Tail", "None", "e30=", "e30", "W10=", "x" * 500,
                "ä", "\xff\xfe", "Root=1-x", "a b", "a,b", "0", "-1", "bytes=0-1", "websocket", "close", "keep-alive",
                "upgrade", "gzip", "application/x-www-form-urlencoded", "AWS4-HMAC-SHA256 x", "a\tb",
                "arn:aws:lambda:us-east-1:000000000000:function:echo"])
        return found

    # MARK: bodies

    def value(self, shape=None, depth=0):
        """A value of this shape more often than not."""
        if shape is None or self.one_in(5):
            return self.choice([
                None, True, False, 0, 1, -1, 1.5, 1 << 31, 1 << 64, -(1 << 70), 1e308, "", "x", "1", "live", "$LATEST",
                "\ud800", "世界", "\0", "x" * 300, [], ["x"], [[]], {}, {"a": 1}, {"": None}, ROLE])
        match shape.type_name:
            case "structure":
                if depth > 3:
                    return {}
                names = self.sample(list(shape.members), self.randrange(len(shape.members) + 1))
                return {name: self.value(shape.members[name], depth + 1)
                        for name in {*names[:6], *self.sample(shape.required_members, len(shape.required_members))}}
            case "list": return [self.value(shape.member, depth + 1) for _ in range(self.randrange(3))]
            case "map":
                return {self.choice(["KEY", "KEY", "1", "2", "", "世", "\0"]): self.value(shape.value, depth + 1)}
            case "string":
                return self.choice([*(shape.enum or ["x"]), "echo", "victim", "1", "live", ROLE, ARN + "echo",
                                    "python3", "function.handler"])
            case "integer" | "long": return self.choice([0, 1, 2, 3, 60, 128, 512, 1000])
            case "double": return self.choice([0, 0.5, 1, 1.5, -0.5])
            case "boolean": return self.choice([True, False])
            case "blob": return self.choice([ZIP, "", "UEsDBA==", "x", "====="])
            case _: return self.choice([0, 1e9, "2026-01-01T00:00:00Z"])

    def document(self, members):
        found = {name: self.value(shape) for name, shape in members.items() if self.one_in(2)}
        if self.one_in(6):
            found[self.choice(["Unknown", "", "functionName", "\0"])] = self.value()
        return found

    def body(self, members):
        text = json.dumps(self.document(members)).encode()
        match self.randrange(14):
            case 0: return b""
            case 1: return text[:self.randrange(len(text))]
            case 2: return self.randbytes(self.randrange(300))
            case 3: return b"[" * self.choice([10, 1000, 100_000])
            case 4: return b'{"a":' * self.choice([10, 1000, 50_000]) + b"1"
            case 5: return b"[" * 3000 + b"]" * 3000
            case 6: return self.choice([b"1e400", b"-" + b"9" * 5000, b"0." + b"0" * 5000 + b"1", b"1E-99999999999"])
            case 7: return json.dumps(self.value()).encode()
            case 8:
                more = self.choice([b"NaN", b"-", b"01", b"'x'", b"\xff", b"\\u00", b"{}{}"])
                return text.replace(b":", b":" + more, 1)
            case 9: return b"\xef\xbb\xbf" + text
            case 10: return text.decode().encode(self.choice(["utf-16", "utf-32"]))
            case 11: return text + self.choice([b" ", b"\0", b"{}", b"]", b"\r\n\r\n"])
            case _: return text

    # MARK: requests

    def request(self, arns):
        """(method, bytes, what else may come: statuses from 500, whether the body is whole)"""
        if self.one_in(8):
            method, template = self.choice(OWN)
            query, header, members = {}, {}, {}
        else:
            _, method, template, query, header, members = self.choice(OPERATIONS if self.one_in(8) else HERE)
        allowed = set()
        if self.one_in(10):
            method = self.choice(METHODS)
        elif self.one_in(60):
            method = self.choice(["BREW", "get", "PROPFIND", "CONNECT", "TRACE", "A" * 30])
            allowed = {501}  # RFC 9110, section 15.6.2: a method that it does not know
        path = self.path(template, arns)
        if method in ("DELETE", "PUT") or "rollback" in path or "stop" in path:
            path = path.replace("echo", "victim")
        if query or self.one_in(5):
            text = self.query(query)
            path += ("&" if "?" in path else "?") + text if text else ""
        if self.one_in(150):
            path += "?" + "x" * self.choice([8000, 20_000])
        headers = {"Host": "localhost"} | self.headers(header)
        if "invocations" in template and self.one_in(2):
            headers["X-Amz-Invocation-Type"] = self.choice(GOOD["X-Amz-Invocation-Type"])
        body = self.body(members) if method in ("POST", "PUT", "PATCH") or self.one_in(8) else b""
        whole, wire = True, body
        match self.randrange(8):
            case 0 | 1:
                headers["Transfer-Encoding"] = "chunked"
                wire = self.chunked(body)
            case 2 if body:
                # A length that is not the body's.
                length = self.choice([len(body) + 1, len(body) * 2 + 9, 10 << 30, max(0, len(body) - 1), 0])
                headers["Content-Length"] = str(length)
                whole = False
            case 3 if self.one_in(8):
                headers["Transfer-Encoding"] = self.choice(["gzip, chunked", "gzip", "identity"])
                allowed = allowed | {501}  # RFC 9112, section 6.1: a coding that it does not know
                whole = False
            case _:
                if body or self.one_in(2):
                    headers["Content-Length"] = str(len(body))
        if self.one_in(25):
            headers["Expect"] = self.choice(["100-continue"] * 3 + ["100-Continue", "100-continue, x", "200-ok"])
        version = "1.1"
        if self.one_in(80):
            version = self.choice(["1.0", "1.2", "2.0", "0.9"])
            whole = whole and version != "1.0"
            allowed = allowed | {505}  # RFC 9110, section 15.6.6
        head = f"{method} {path} HTTP/{version}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n"
        return method, head.encode("utf-8", "surrogatepass") + wire, allowed, whole

    def chunked(self, body):
        text = b""
        while body:
            size = self.randrange(1, len(body) + 1)
            extension = self.choice([b"", b"", b";a=b", b' ;x="y"'])
            text += b"%s%s\r\n%s\r\n" % (self.choice([b"%x", b"%X", b"000%x"]) % size, extension, body[:size])
            body = body[size:]
        return text + b"0\r\n" + self.choice([b"", b"", b"X-Trailer: x\r\n"]) + b"\r\n"


def descriptors(host):
    return len(os.listdir(f"/proc/{host.process.pid}/fd"))


def test_no_request_is_a_fault_of_the_host(host):
    print(f"ROOST_TEST_SEED={SEED}")
    chance, process = Chance(SEED), host.process.pid
    arns = [restore(host)]
    host.request("POST", "/2015-03-31/functions/echo/invocations", {})
    before, seen, connection = descriptors(host), {}, None
    begin = time.monotonic()
    for number in range(REQUESTS):
        if number % 500 == 499:
            arns = [restore(host)]
        method, request, allowed, whole = chance.request(arns)
        connection = connection or Answers(host.port)
        try:
            connection.send(request)
            if not whole:
                # Nothing comes after it, and whatever it is, it is answered or dropped.
                connection.socket.shutdown(socket.SHUT_WR)
                while answer := connection.next(method):
                    check(answer, method, allowed | {501})
                    seen[answer[0]] = seen.get(answer[0], 0) + 1
                    # What is left over is another request, and no HEAD.
                    method = "GET"
                answer = None
            else:
                answer = connection.next(method)
                demand(answer, "no answer")
                check(answer, method, allowed)
                seen[answer[0]] = seen.get(answer[0], 0) + 1
        except Exception as error:
            pytest.fail(f"seed {SEED}, request {number}: {request[:3000]!r}\n{type(error).__name__}: {error}\n")
        if answer is None or answer[1].get("connection", "").lower() == "close" or chance.one_in(20):
            connection.close()
            connection = None
        else:
            assert connection.buffer == b"", f"seed {SEED}, request {number}: {request[:3000]!r} has two answers"
    if connection:
        connection.close()
    print(f"{REQUESTS} requests in {time.monotonic() - begin:.1f} s: {dict(sorted(seen.items()))}")
    # All kinds of answers came, so it was not all refused at the door.
    assert {200, 202, 204, 400, 404, 413} <= seen.keys()
    assert host.is_running and host.process.pid == process and "Fatal" not in host.stderr
    restore(host)
    assert host.request("POST", "/2015-03-31/functions/echo/invocations", {"still": "there"}).json == {"still": "there"}
    # A few of its own may have come, for workers.
    wait_until(lambda: descriptors(host) <= before + 12, f"about {before} descriptors again")


# MARK: kinds

def wrong_kinds(shape):
    """Values that JSON has and this shape has not."""
    text, number, fraction, boolean, elements, members = "x", 7, 1.5, True, ["x"], {"x": 1}
    match shape.type_name:
        case "structure": return [text, number, boolean, elements]
        case "map": return [text, number, boolean, elements, {"AB": [7]}]
        case "list": return [text, number, boolean, members]
        case "string": return [number, fraction, boolean, elements, members]
        case "blob": return [number, boolean, elements, members, "not base 64!"]
        case "integer" | "long": return ["7", fraction, boolean, [7], members, 1 << 70]
        case "double": return ["0.5", boolean, [0.5], members]
        case "boolean": return ["true", number, [True], members]
        case _: return [boolean, elements, members]


def members_of(shape, depth=0):
    """(path, shape) of all members of a structure and of what is nested in it."""
    for name, member in shape.members.items():
        yield (name,), member
        if member.type_name == "structure" and depth < 3:
            for path, nested in members_of(member, depth + 1):
                yield (name, *path), nested


REQUIRED = {
    "CreateFunction": {"FunctionName": "kinds", "Role": ROLE, "Code": {"ZipFile": ZIP}, "Runtime": "python3",
                       "Handler": "function.handler"},
    "CreateAlias": {"Name": "kinds", "FunctionVersion": "$LATEST"}, "UpdateFunctionCode": {"ZipFile": ZIP},
    "PutFunctionConcurrency": {"ReservedConcurrentExecutions": 2}, "TagResource": {"Tags": {"a": "b"}},
    "PutProvisionedConcurrencyConfig": {"ProvisionedConcurrentExecutions": 1},
    "PutFunctionRecursionConfig": {"RecursiveLoop": "Terminate"},
    "PutRuntimeManagementConfig": {"UpdateRuntimeOn": "Auto"},
}
WITH_BODY = [
    "CreateFunction", "UpdateFunctionCode", "UpdateFunctionConfiguration", "PublishVersion", "CreateAlias",
    "UpdateAlias", "PutFunctionConcurrency", "PutFunctionEventInvokeConfig", "UpdateFunctionEventInvokeConfig",
    "PutProvisionedConcurrencyConfig", "TagResource", "StopDurableExecution", "PauseDurableExecution",
    "PutFunctionRecursionConfig", "PutRuntimeManagementConfig"]


def prepared(host, operation):
    """The operation's model, and a path to something that is there."""
    arn = restore(host)
    host.request("PUT", path_of("PutFunctionEventInvokeConfig", FunctionName="victim"), {"MaximumRetryAttempts": 0})
    path = path_of(operation, FunctionName="victim", Name="live", DurableExecutionArn=arn, Resource=ARN + "victim")
    if operation == "PutProvisionedConcurrencyConfig":
        path += "?Qualifier=live"
    return MODEL.operation_model(operation), path


@pytest.mark.parametrize("operation", WITH_BODY)
def test_a_member_of_the_wrong_kind_is_refused(host, operation):
    model, path = prepared(host, operation)
    payload = model.input_shape.serialization.get("payload")
    shape = model.input_shape.members[payload] if payload else model.input_shape
    wrong, asked = [], 0
    for names, member in members_of(shape):
        if model.input_shape.members.get(names[0], shape).serialization.get("location"):
            continue
        for value in wrong_kinds(member):
            document = json.loads(json.dumps(REQUIRED.get(operation, {})))
            inner = document
            for name in names[:-1]:
                inner = inner.setdefault(name, {})
            inner[names[-1]] = value
            answer = host.request(model.http["method"], path, document)
            asked += 1
            if answer.status != 400:
                wrong.append((".".join(names), value, answer.status, answer.body[:100]))
                if answer.status == 201:
                    host.request("DELETE", "/2015-03-31/functions/kinds")
    assert not wrong, (f"{len(wrong)} of {asked}", wrong[:20])
    assert asked


@pytest.mark.parametrize("operation", WITH_BODY)
def test_a_body_that_is_no_object_is_refused(host, operation):
    model, path = prepared(host, operation)
    unknown = json.dumps({**REQUIRED.get(operation, {}), "Unknown": 1}).encode()
    for body, error in (
            (b"[]", "SerializationException"), (b"1", "SerializationException"), (b'"x"', "SerializationException"),
            (b"null", "SerializationException"), (b"{", "InvalidRequestContentException"),
            (b"{}}", "InvalidRequestContentException"), (b"\xff", "InvalidRequestContentException"),
            (b'{"a": 1, "a": 2}', None), (unknown, "InvalidParameterValueException"),
            (b"[" * 100_000, "InvalidRequestContentException")):
        answer = host.request(model.http["method"], path, body)
        assert answer.status == 400 and error in (None, answer.error), (body[:50], answer.status, answer.body)
