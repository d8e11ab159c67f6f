"""The client verbs of the roost command: what they print, and their exit status (0 done, 1 failed, 2 wrong usage)."""

import json
import os
import re
import signal
import subprocess

import pytest

from conftest import ARN, BINARY, ROOT, Host, wait_until

ECHO = ROOT / "functions/echo"
VERSION = "def handler(event, context):\n    print('answering', event)\n    return %d\n"
TRAINER = '''
import json, os, pathlib

def handler(event, context):
    directory = os.environ.get("ROOST_MODEL_DIR")
    return json.loads(pathlib.Path(directory, "model.json").read_text()) if directory else None

def train(event, context):
    if event.get("fail"):
        raise ValueError("no luck")
    lines = [line for file in sorted(pathlib.Path(os.environ["ROOST_CHANNEL_TRAIN"]).iterdir())
             for line in file.read_text().splitlines()]
    context.progress(0.5, 1, {"loss": 0.25}, "half way")
    model = {"lines": lines, "rate": event["rate"]}
    pathlib.Path(os.environ["ROOST_OUTPUT_DIR"], "model.json").write_text(json.dumps(model))
    return {"metrics": {"loss": 0.125}}
'''


@pytest.fixture(scope="module", autouse=True)
def echo(host):
    host.roost("deploy", ECHO, check=0)


@pytest.fixture
def folder(tmp_path):
    """Makes function folders: folder(name, source, **settings of function.json)."""

    def make(name="f", source=VERSION % 1, manifest=None, **settings):
        path = tmp_path / name
        path.mkdir(exist_ok=True)
        (path / f"{name}.py").write_text(source)
        document = {"name": name, "runtime": "python3", "handler": f"{name}.handler", **settings}
        (path / "function.json").write_text(manifest if manifest is not None else json.dumps(document))
        return path

    return make


@pytest.fixture
def deployed(host, folder, request):
    """Deploys a function of that many versions, whose answer is its version's number; removed after the test."""
    made = []

    def deploy(name, versions=0):
        made.append(name)
        for number in range(1, versions + 1):
            host.roost("deploy", folder(name, VERSION % number), "--publish", check=0)
        if not versions:
            host.roost("deploy", folder(name), check=0)
        return name

    yield deploy
    for name in made:
        host.request("DELETE", f"/2015-03-31/functions/{name}")


def answer(result):
    """The one line of JSON that a verb printed."""
    assert result.stdout.endswith("\n") and result.stdout.count("\n") == 1, result.stdout
    return json.loads(result.stdout)


def failed(result, *words):
    """Nothing for programs to read, and one message for people."""
    assert result.stdout == "", result.stdout
    assert result.stderr.startswith(("roost: ", "Error: ")), result.stderr
    for word in words:
        assert word in result.stderr, result.stderr


# MARK: deploy

def test_deploy_says_what_it_did(host, folder):
    settings = {"memory": 192, "timeout": 7, "environment": {"A1": "b"}}
    first = host.roost("deploy", folder("said", **settings), check=0)
    assert re.fullmatch(r"deployed said:\$LATEST \(python3, 1 file, .* sent\)\n", first.stdout), first.stdout
    assert first.stderr == ""
    # What is there is not sent again.
    again = host.roost("deploy", folder("said"), "--publish", check=0)
    assert again.stdout.startswith("deployed said:1 (") and "all there already" in again.stdout
    shown = answer(host.roost("deploy", folder("said", **settings), "--json", check=0))
    assert shown["Training"] is None
    function = shown["Function"]
    assert (function["FunctionName"], function["MemorySize"], function["Timeout"]) == ("said", 192, 7)
    assert function["Environment"] == {"Variables": {"A1": "b"}}
    host.roost("functions", "rm", "said", check=0)


def test_the_folder_of_echo_answers_as_it_says(host):
    result = host.roost("invoke", "echo", "-d", f"@{ECHO}/event.json", check=0)
    assert json.loads(result.stdout) == json.loads((ECHO / "expected.json").read_text())


@pytest.mark.parametrize("manifest, word", [
    ('{"name": "f", "runtime": "python3", "colour": 1}', "colour"), ('{"name": "f"}', "runtime"), ("{", "JSON"),
    ('{"name": "f", "runtime": "cobol"}', "cobol"), ('{"name": "f", "runtime": "python3", "model": "m"}', "'m'"),
])
def test_a_folder_with_a_mistake_is_not_deployed(host, folder, manifest, word):
    failed(host.roost("deploy", folder("f", manifest=manifest), check=1), word)
    host.roost("functions", "show", "f", check=1)


def test_what_is_no_folder_is_wrong_usage(host, tmp_path):
    failed(host.roost("deploy", tmp_path / "nothing", check=2), "nothing")
    failed(host.roost("deploy", __file__, check=2), "not a folder")
    failed(host.roost("deploy", check=2))
    failed(host.roost("deploy", tmp_path, check=1), "function.json")


def test_a_link_in_a_folder_is_refused(host, folder):
    path = folder("f")
    (path / "link").symlink_to("/etc/passwd")
    failed(host.roost("deploy", path, check=1), "symbolic link")


# MARK: invoke

def test_invoke_prints_the_bytes_of_the_answer_and_nothing_else(host):
    result = host.roost("invoke", "echo", "-d", '{"text": "世界"}', check=0)
    assert result.stderr == "" and not result.stdout.endswith("\n")
    assert json.loads(result.stdout) == {"text": "世界"}
    assert host.roost("invoke", "echo", check=0).stdout == "{}"
    assert host.roost("invoke", "echo", "-d", "-", input="[1]", check=0).stdout == "[1]"
    # A number below zero is no option.
    assert host.roost("invoke", "echo", "-d", "-5", check=0).stdout == "-5"
    assert host.roost("invoke", ARN + "echo", "-d", "1", check=0).stdout == "1"
    verbose = host.roost("invoke", "echo", "-d", "1", "--verbose", check=0)
    assert verbose.stdout == "1" and "version $LATEST" in verbose.stderr and "run=" in verbose.stderr


def test_invoke_fails_as_the_function_does(host, folder):
    host.roost("deploy", folder("bad", "def handler(event, context):\n    raise KeyError(event)\n"), check=0)
    result = host.roost("invoke", "bad", "-d", '"luck"', check=1)
    assert json.loads(result.stdout)["errorType"] == "KeyError"
    assert result.stderr == "roost: the function failed: KeyError: 'luck'\n"
    host.roost("functions", "rm", "bad", check=0)


def test_invoke_of_what_cannot_be(host, tmp_path):
    failed(host.roost("invoke", "nowhere", check=1), "Function not found", "ResourceNotFoundException", "404")
    failed(host.roost("invoke", "echo:nowhere", check=1), "404")
    failed(host.roost("invoke", "echo", "-d", "{", check=1), "InvalidRequestContentException", "400")
    failed(host.roost("invoke", "echo", "-d", f"@{tmp_path}/nothing", check=2), "nothing")
    failed(host.roost("invoke", check=2), "function")
    failed(host.roost("invoke", "echo:", check=2))
    failed(host.roost("invoke", "echo", "--stream", "--name", "x", check=2), "--stream")
    failed(host.roost("invoke", "echo", "--stream", "--async", check=2), "--stream")
    failed(host.roost("invoke", "echo", "--name", "a/b", check=2), "a/b")


def test_async_prints_the_execution_and_it_can_be_looked_at(host):
    arn = host.roost("invoke", "echo", "-d", "[7]", "--async", "--name", "once", check=0).stdout.strip()
    assert arn.startswith(f"{ARN}echo:$LATEST/durable-execution/once/")
    assert answer(host.roost("invoke", "echo", "-d", "[7]", "--async", "--name", "once", "--json", check=0)) == {
        "executionArn": arn}
    failed(host.roost("invoke", "echo", "-d", "[8]", "--async", "--name", "once", check=1), "409")

    def shown():
        return answer(host.roost("executions", "show", arn, "--json", check=0))

    execution = wait_until(lambda: (it := shown())["Status"] == "SUCCEEDED" and it, "its end")
    assert (execution["ExecutionArn"], execution["Name"], execution["Result"]) == (arn, "once", "[7]")
    text = host.roost("executions", "show", execution["Id"], check=0).stdout
    assert re.search(r"^Status +SUCCEEDED$", text, re.M) and "accepted" in text
    listed = answer(host.roost("executions", "ls", "echo", "--status", "succeeded", "--json", check=0))["Executions"]
    assert [execution["Id"] for execution in listed] == [execution["Id"]]
    assert answer(host.roost("executions", "ls", "--status", "FAILED", "--json", check=0)) == {"Executions": []}
    table = host.roost("executions", "ls", check=0).stdout.splitlines()
    assert table[0].split()[:3] == ["ID", "FUNCTION", "STATUS"] and execution["Id"] in table[1]
    logs = host.roost("executions", "logs", arn, check=0).stdout
    assert "REPORT" in logs
    host.roost("executions", "stop", arn, check=0)
    failed(host.roost("executions", "show", "nowhere", check=1), "404")
    failed(host.roost("executions", "ls", "--status", "BAD", check=2), "QUEUED")
    failed(host.roost("executions", "ls", "--limit", "0", check=2), "--limit")


def test_an_execution_that_runs_is_stopped(host, folder):
    source = "import time\n\ndef handler(event, context):\n    time.sleep(60)\n"
    host.roost("deploy", folder("long", source, timeout=99), check=0)
    arn = host.roost("invoke", "long", "--async", check=0).stdout.strip()
    wait_until(lambda: any(worker["State"] == "busy" for worker in host.workers("long")), "the worker")
    assert host.roost("executions", "stop", arn, check=0).stdout.startswith("stopping ")
    result = host.roost("executions", "logs", arn, "--follow", check=1)
    assert "the execution ended as STOPPED" in result.stderr
    host.roost("functions", "rm", "long", check=0)


# MARK: functions and logs

def test_functions_are_listed_shown_and_removed(host, deployed):
    deployed("kept", 1)
    lines = host.roost("functions", "ls", check=0).stdout.splitlines()
    assert lines[0].split() == ["NAME", "RUNTIME", "HANDLER", "MEMORY", "TIMEOUT", "PACKAGE", "MODIFIED"]
    assert {line.split()[0] for line in lines[1:]} == {"echo", "kept"}
    listed = answer(host.roost("functions", "ls", "--json", check=0))["Functions"]
    assert {function["FunctionName"] for function in listed} == {"echo", "kept"}
    text = host.roost("functions", "show", "kept:1", check=0).stdout
    assert re.search(r"^Version +1$", text, re.M) and re.search(r"^ReservedConcurrency +8$", text, re.M)
    shown = answer(host.roost("functions", "show", "kept", "--json", check=0))
    assert shown["Configuration"]["Version"] == "$LATEST"
    failed(host.roost("functions", "rm", "kept:1", check=2))
    assert host.roost("functions", "rm", "kept", check=0).stdout == "removed kept\n"
    failed(host.roost("functions", "rm", "kept", check=1), "404")
    failed(host.roost("functions", "show", "kept", check=1), "404")


def test_logs_are_printed(host, deployed):
    deployed("talker")
    for number in range(3):
        host.roost("invoke", "talker", "-d", str(number), check=0)
    wait_until(lambda: "answering 2" in host.roost("logs", "talker", check=0).stdout, "the last line")
    lines = host.roost("logs", "talker", check=0).stdout.splitlines()
    said = [line.split("  ")[-1] for line in lines if "answering" in line]
    assert said == ["answering 0", "answering 1", "answering 2"]
    last = [json.loads(line) for line in host.roost("logs", "talker", "-n", "1", "--json", check=0).stdout.splitlines()]
    assert len(last) == 1 and last[0]["version"] == "$LATEST" and last[0]["message"] == "answering 2"
    assert re.fullmatch(r"[0-9a-f-]{36}", last[0]["request"])
    assert host.roost("logs", "talker", "-n", "0", check=0).stdout == ""
    failed(host.roost("logs", "nowhere", check=1), "404")
    failed(host.roost("logs", "talker", "-n", "-1", check=2))
    failed(host.roost("logs", check=2))


def test_logs_are_followed_until_interrupted(host, deployed):
    deployed("followed")
    with subprocess.Popen([BINARY, "logs", "followed", "--follow"], stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "ROOST_ENDPOINT": host.endpoint}) as follower:
        try:
            # It may not be connected yet, so there is a line until it saw one.
            seen = []

            def invoked():
                host.roost("invoke", "followed", "-d", '"news"', check=0)
                os.set_blocking(follower.stdout.fileno(), False)
                try:
                    seen.append(os.read(follower.stdout.fileno(), 65536).decode())
                except BlockingIOError:
                    pass
                return "answering news" in "".join(seen)

            wait_until(invoked, "a line of the log")
        finally:
            follower.send_signal(signal.SIGINT)
        assert follower.wait(10) in (0, 130, -signal.SIGINT)


def test_ps_lists_the_workers_that_are_alive(host, deployed):
    deployed("alive")
    assert "alive" not in host.roost("ps", check=0).stdout
    host.roost("invoke", "alive", check=0)
    output = host.roost("ps", check=0).stdout
    pools, workers, totals = ([line for line in part.splitlines()] for part in output.split("\n\n"))
    assert pools[0].split() == [
        "POOL", "QUEUED", "RUNNING", "STARTING", "IDLE", "BUSY", "STOPPING", "MEMORY", "DECLARED"]
    pool = next(line.split() for line in pools if line.startswith("alive:$LATEST"))
    assert pool[1:7] == ["0", "0", "0", "1", "0", "0"] and pool[-3:] == ["256", "MB", "each"]
    assert workers[0].split() == ["WORKER", "OF", "PROCESS", "STATE", "FOR", "AGE", "START", "CAUSE", "MEMORY"]
    line = next(line.split() for line in workers if " alive:$LATEST " in line)
    assert line[3] == "idle" and "first" in line
    assert [line.split()[0] for line in totals] == ["memory", "workers", "evicted"]
    report = answer(host.roost("ps", "--json", check=0))
    worker, = next(pool["Workers"] for pool in report["Pools"] if pool["FunctionName"] == "alive")
    assert worker["State"] == "idle" and str(worker["ProcessId"]) == line[2] and worker["Cause"] == "first"
    assert report["Host"]["Workers"] == sum(len(pool["Workers"]) for pool in report["Pools"])
    assert os.path.exists(f"/proc/{worker['ProcessId']}")
    host.roost("functions", "rm", "alive", check=0)
    wait_until(lambda: not os.path.exists(f"/proc/{worker['ProcessId']}"), "the worker to be gone")


# MARK: versions and aliases

def test_versions_and_publish(host, deployed):
    deployed("many", 2)
    shown = answer(host.roost("versions", "many", "--json", check=0))["Versions"]
    assert [version["Version"] for version in shown] == ["$LATEST", "2", "1"]
    assert host.roost("publish", "many", check=0).stdout == "published version 2 of many\n"
    assert answer(host.roost("publish", "many", "--json", check=0))["Version"] == "2"
    host.roost("alias", "set", "many", "live", "1", check=0)
    lines = host.roost("versions", "many", check=0).stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["VERSION", "ALIASES"], ["$LATEST", "-"], ["2", "-"], ["1", "live"]]
    failed(host.roost("versions", "nowhere", check=1), "404")
    failed(host.roost("publish", "nowhere", check=1), "404")


def test_aliases_are_set_moved_listed_and_removed(host, deployed):
    deployed("named", 2)
    assert host.roost("alias", "set", "named", "live", "1", check=0).stdout == "named:live -> 1\n"
    assert host.roost("invoke", "named:live", check=0).stdout == "1"
    moved = host.roost("alias", "set", "named", "live", "2", "--weight", "1=0.25", "--description", "try it", check=0)
    assert moved.stdout == "named:live -> 2 (75 %), 1 (25 %)\n"
    listed = answer(host.roost("alias", "ls", "named", "--json", check=0))["Aliases"]
    assert [(alias["Name"], alias["FunctionVersion"], alias["RoutingConfig"]) for alias in listed] == [
        ("live", "2", {"AdditionalVersionWeights": {"1": 0.25}})]
    # Without a weight it points to one version only.
    assert host.roost("alias", "set", "named", "live", "2", check=0).stdout == "named:live -> 2\n"
    assert host.roost("invoke", "named:live", check=0).stdout == "2"
    lines = host.roost("alias", "ls", "named", check=0).stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["ALIAS", "VERSION"], ["live", "2"]]
    history = host.roost("alias", "history", "named", "live", check=0).stdout.splitlines()
    assert len(history) == 4
    assert host.roost("alias", "rm", "named", "live", check=0).stdout == "removed named:live\n"
    failed(host.roost("alias", "rm", "named", "live", check=1), "404")
    failed(host.roost("alias", "set", "named", "live", "9", check=1), "404")
    failed(host.roost("alias", "set", "nowhere", "live", "1", check=1), "404")
    failed(host.roost("alias", "set", "named", "live", "1", "--weight", "half", check=2), "--weight")
    failed(host.roost("alias", "set", "named", "live", check=2))
    failed(host.roost("alias", "ls", "nowhere", check=1), "404")


def test_rollback_goes_back_as_often_as_there_was_a_change(host, deployed):
    deployed("back", 3)
    for version in "123":
        host.roost("alias", "set", "back", "live", version, check=0)
    assert host.roost("invoke", "back:live", check=0).stdout == "3"
    result = host.roost("rollback", "back", "live", "--why", "3 is worse", check=0)
    assert result.stdout == "back:live -> 2 (was 3)\n"
    assert host.roost("invoke", "back:live", check=0).stdout == "2"
    assert answer(host.roost("rollback", "back", "live", "--json", check=0))["FunctionVersion"] == "1"
    # No history is left: it says so, and changes nothing.
    failed(host.roost("rollback", "back", "live", check=1), "live", "Nothing was changed", "409")
    assert host.roost("invoke", "back:live", check=0).stdout == "1"
    assert "3 is worse" in host.roost("alias", "history", "back", "live", check=0).stdout
    failed(host.roost("rollback", "back", "nowhere", check=1), "404")
    failed(host.roost("rollback", "nowhere", "live", check=1), "404")
    failed(host.roost("rollback", "back", check=2))


def test_rollback_without_a_history_says_so(host, deployed):
    deployed("fresh", 1)
    host.roost("alias", "set", "fresh", "live", "1", check=0)
    failed(host.roost("rollback", "fresh", "live", check=1), "Nothing was changed")
    assert host.roost("invoke", "fresh:live", check=0).stdout == "1"


# MARK: training

def test_a_training_publishes_a_version_that_has_the_model(host, folder, tmp_path):
    host.roost("deploy", folder("learner", TRAINER, training={"timeout": 60}), check=0)
    data = tmp_path / "data.tsv"
    data.write_text("a\nb\n")
    try:
        host.roost("invoke", "learner", check=0)
        arguments = ("train", "learner", "--channel", f"train={data}", "--promote", "live", "--json")
        result = host.roost(*arguments, "-d", '{"rate": 0.5}', check=0)
        ended = json.loads(result.stdout.splitlines()[-1])
        assert {key: ended[key] for key in ("status", "version", "metrics")} == {
            "status": "SUCCEEDED", "version": "1", "metrics": {"loss": 0.125}}
        assert ended["executionArn"].startswith(ARN + "learner-train:")
        assert json.loads(host.roost("invoke", "learner:live", check=0).stdout) == {"lines": ["a", "b"], "rate": 0.5}
        # The model is $LATEST's too.
        assert json.loads(host.roost("invoke", "learner", check=0).stdout)["rate"] == 0.5
        version = answer(host.roost("versions", "learner", "--json", check=0))["Versions"][1]
        assert version["Aliases"] == ["live"] and version["Lineage"]
        # The second one moves the alias, and a rollback moves it back, model and all.
        host.roost(*arguments, "-d", '{"rate": 2}', check=0)
        assert json.loads(host.roost("invoke", "learner:live", check=0).stdout)["rate"] == 2
        host.roost("rollback", "learner", "live", check=0)
        assert json.loads(host.roost("invoke", "learner:live", check=0).stdout)["rate"] == 0.5
        # One that fails is not tried again, and publishes nothing.
        result = host.roost(*arguments, "-d", '{"fail": true}', check=1)
        ended = json.loads(result.stdout.splitlines()[-1])
        assert (ended["status"], ended["version"]) == ("FAILED", None)
        assert "ValueError: no luck" in result.stderr
        # The same name is the same training.
        named = [host.roost(*arguments, "-d", '{"rate": 2}', "--name", "nightly", "--detach", check=0)
                 for _ in range(2)]
        arns = {json.loads(result.stdout.splitlines()[-1])["executionArn"] for result in named}
        assert len(arns) == 1
        host.roost("executions", "logs", arns.pop(), "--follow", check=0)
        assert len(answer(host.roost("versions", "learner", "--json", check=0))["Versions"]) == 4
        # A training function is not called and waited for.
        failed(host.roost("invoke", "learner-train", check=1), "ModeNotSupportedException")
        failed(host.roost("train", "learner", "--channel", "nonsense", check=2), "--channel")
        failed(host.roost("train", "learner", "-d", "[1]", check=2), "object")
        failed(host.roost("train", "echo", check=1), "404")
    finally:
        removed = host.roost("functions", "rm", "learner", "--json")
    assert answer(removed) == {"Removed": ["learner", "learner-train"]}


# MARK: the command itself

def test_doctor_finds_nothing_wrong(host):
    checks = answer(host.roost("doctor", "--json", check=0))["Checks"]
    assert all(check["Ok"] for check in checks) and "host" in [check["Name"] for check in checks]
    assert host.roost("doctor", check=0).stdout.startswith("CHECK")


def test_doctor_fails_without_a_host(host):
    result = host.roost("doctor", "--endpoint", "http://127.0.0.1:9", "--json", check=1)
    checks = {check["Name"]: check for check in json.loads(result.stdout)["Checks"]}
    assert not checks["host"]["Ok"]


VERBS = {
    "deploy": [ECHO], "invoke": ["echo"], "train": ["echo"], "logs": ["echo"], "ps": [], "versions": ["echo"],
    "publish": ["echo"], "rollback": ["echo", "live"], "executions ls": [], "executions show": ["x"],
    "executions stop": ["x"], "executions logs": ["x"], "functions ls": [], "functions show": ["echo"],
    "functions rm": ["echo"], "alias set": ["echo", "live", "1"], "alias ls": ["echo"], "alias rm": ["echo", "live"],
    "alias history": ["echo", "live"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_tells_of_its_use_and_of_a_host_that_is_not_there(host, verb):
    words, arguments = verb.split(), VERBS[verb]
    helped = host.roost(*words, "--help", check=0)
    assert "USAGE: roost " + verb in helped.stdout and helped.stderr == ""
    failed(host.roost(*words, *arguments, "--no-such-option", check=2), "--no-such-option")
    failed(host.roost(*words, *arguments, "--endpoint", "nonsense", check=2), "nonsense")
    # Port 9 is nobody's; which host was tried is said, and what to do.
    nobody = "http://127.0.0.1:9"
    failed(host.roost(*words, *arguments, "--endpoint", nobody, check=1), nobody, "roost serve")


def test_the_command_without_a_verb_and_with_an_unknown_one(host):
    assert "USAGE: roost" in host.roost(check=0).stdout
    assert "USAGE: roost" in host.roost("--help", check=0).stdout
    failed(host.roost("dploy", check=2))


def test_the_endpoint_of_the_option_wins_over_that_of_the_environment(host):
    elsewhere = {"ROOST_ENDPOINT": "http://127.0.0.1:9"}
    host.roost("ps", environment=elsewhere, check=1)
    host.roost("ps", "--endpoint", host.endpoint + "/", environment=elsewhere, check=0)


# MARK: serve

@pytest.mark.parametrize("arguments, status, word", [
    (["--listen", "nonsense"], 2, "HOST:PORT"), (["--listen", "127.0.0.1:70000"], 2, "HOST:PORT"),
    (["--listen", "0.0.0.0:0"], 1, "loopback"), (["--sandbox", "maybe"], 2, "bubblewrap"), (["extra"], 2, "extra"),
    (["--config", "/nothing/here"], 2, "/nothing/here"),
])
def test_serve_refuses_what_it_cannot_do(tmp_path, arguments, status, word):
    result = subprocess.run([BINARY, "serve", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data", *arguments],
                            capture_output=True, text=True, timeout=20)
    assert (result.returncode, result.stdout) == (status, ""), result.stderr
    assert word in result.stderr


@pytest.mark.parametrize("config, word", [
    ('{"colour": "red"}', "colour"), ("{", "JSON"), ('{"workersMax": 0}', "workersMax"),
    ('{"sandbox": "x"}', "sandbox"), ('{"queueWaitSeconds": "x"}', "queueWaitSeconds"), ("[]", ""),
])
def test_serve_refuses_a_configuration_with_a_mistake(tmp_path, config, word):
    file = tmp_path / "config.json"
    file.write_text(config)
    result = subprocess.run(
        [BINARY, "serve", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data", "--config", file],
        capture_output=True, text=True, timeout=20)
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    assert word in result.stderr


def test_a_second_host_on_the_same_data_is_refused(host):
    result = subprocess.run([BINARY, "serve", "--listen", "127.0.0.1:0", "--data-dir", host.data],
                            capture_output=True, text=True, timeout=20)
    assert (result.returncode, result.stdout) == (1, "")
    assert str(host.data) in result.stderr or "in use" in result.stderr
    host.roost("ps", check=0)


def test_a_port_that_is_taken_is_said(host, tmp_path):
    result = subprocess.run([BINARY, "serve", "--listen", f"127.0.0.1:{host.port}", "--data-dir", tmp_path / "data"],
                            capture_output=True, text=True, timeout=20)
    assert (result.returncode, result.stdout) == (1, "")
    assert "in use" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_in_order_on_both_signals(tmp_path, number):
    host = Host(tmp_path / "host")
    host.process.send_signal(number)
    assert host.process.wait(20) == 0
    host.process.stdout.close()


def test_who_asks_again_by_the_same_name_has_the_same_answer(host):
    for _ in range(2):
        assert host.roost("invoke", "echo", "-d", "[6]", "--name", "waited", check=0).stdout == "[6]"
    listed = answer(host.roost("executions", "ls", "--json", check=0))["Executions"]
    assert len([execution for execution in listed if execution["Name"] == "waited"]) == 1
    failed(host.roost("invoke", "echo", "-d", "[5]", "--name", "waited", check=1), "409")
