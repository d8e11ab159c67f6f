"""Executions and trainings of a real host: durable, retried, stopped, resumed, and published exactly once."""

import json
import os
import signal
import time

import pytest

from roost_host import FUNCTIONS, SLEEPER, Processes, RoostHost, descendants, until

CONFIG = {"retryDelaysSeconds": [0.2, 0.2], "stopGraceSeconds": 2}

# A model is a file with a number in it; a training counts up to it, one step at a time.
MODEL = """
import json, os, pathlib, signal, sys, time

def model():
    folder = os.environ.get("ROOST_MODEL_DIR")
    return json.loads((pathlib.Path(folder) / "model.json").read_text()) if folder else None

def infer(event, context):
    if model() is None:
        raise LookupError("this version has no model")
    return model()

def train(event, context):
    checkpoint = pathlib.Path(os.environ["ROOST_CHECKPOINT_DIR"]) / "step"

    def save(step):
        temporary = checkpoint.with_suffix(".new")
        with open(temporary, "w") as file:
            file.write(str(step))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, checkpoint)

    started_at = step = int(checkpoint.read_text()) if checkpoint.exists() else 0

    def terminated(*_):
        if not event.get("stubborn"):
            print("told to stop at step", step, flush=True)
            save(step)
            os._exit(0)

    signal.signal(signal.SIGTERM, terminated)
    base = model()
    while step < event.get("steps", 1):
        time.sleep(event.get("pause", 0.01))
        step += 1
        if step % event.get("saveEvery", 1) == 0:
            save(step)
        context.progress(fraction=step / event["steps"], step=step, metrics={"loss": 1 / step}, message=f"step {step}")
    if event.get("fail"):
        raise ArithmeticError("the loss is infinite")
    if not event.get("empty"):
        output = pathlib.Path(os.environ["ROOST_OUTPUT_DIR"])
        channels = {
            name[len("ROOST_CHANNEL_"):].lower(): "".join(
                path.read_text() for path in sorted(pathlib.Path(folder).rglob("*")) if path.is_file())
            for name, folder in os.environ.items() if name.startswith("ROOST_CHANNEL_")}
        (output / "model.json").write_text(json.dumps({
            "name": event.get("name", ""), "steps": step, "base": base and base["name"], "channels": channels,
            "startedAt": started_at, "attempt": int(os.environ["ROOST_ATTEMPT"])}))
    return {"metrics": {"loss": 1 / max(step, 1), "startedAt": started_at}}
"""


def create_model(host, name):
    """A model function and its training function."""
    host.create(name, files={"m.py": MODEL}, handler="m.infer")
    host.create(f"{name}-train", files={"m.py": MODEL}, handler="m.train", environment={"ROOST_TRAINS": name}, timeout=60)


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with RoostHost(tmp_path_factory.mktemp("training") / "data", {**CONFIG, "trainingConcurrency": 2}) as host:
        yield host


# MARK: - training

def test_a_training_publishes_a_version_with_its_lineage(host):
    create_model(host, "simple")
    lines = b"first\nsecond\n"
    channel = host.upload({"a/data.tsv": lines, "b.tsv": b"third\n"})
    event = {"steps": 5, "name": "first", "rate": 0.5, "roost": {"channels": {"train": channel}}}
    execution = host.finished(host.start_execution("simple-train", event))
    assert execution["Status"] == "SUCCEEDED", execution
    assert execution["PublishedVersion"] == 1
    assert execution["Attempt"] == 1
    assert execution["Progress"]["step"] == 5 and execution["Progress"]["fraction"] == 1
    assert json.loads(execution["Result"])["metrics"] == {"loss": 0.2, "startedAt": 0}
    assert execution["AcceptedAt"] <= execution["StartedAt"] <= execution["EndedAt"]

    [version] = host.versions("simple")
    assert version["Version"] == "1" and version["Model"].startswith("sha256:")
    lineage = version["Lineage"]
    assert lineage["execution"] == execution["Id"]
    assert lineage["channels"] == {"train": channel}
    assert lineage["hyperparameters"] == {"steps": 5, "name": "first", "rate": 0.5}
    assert lineage["metrics"] == {"loss": 0.2, "startedAt": 0}
    assert lineage["base"] == "$LATEST"
    assert lineage["model"] == version["Model"]

    for qualifier in ("1", None):  # $LATEST gets the model, too
        answer = host.invoke("simple", qualifier=qualifier)
        assert answer.function_error is None, answer
        assert answer.json == {"name": "first", "steps": 5, "base": None, "channels": {"train": "first\nsecond\nthird\n"},
                               "startedAt": 0, "attempt": 1}
    steps = [e["Detail"]["step"] for e in host.events(execution["Id"]) if e["Kind"] == "progress"]
    assert steps == [1, 2, 3, 4, 5], "every report is kept"
    assert host.kinds(execution["Id"])[-2:] == ["published", "ended"]
    until(lambda: not (host.data_dir / "executions" / execution["Id"]).exists(), 3, "the removal of its files")


def test_a_version_without_a_model_says_so(host):
    create_model(host, "untrained")
    answer = host.invoke("untrained")
    assert answer.function_error == "Unhandled" and answer.json["errorType"] == "LookupError"


def test_a_training_starts_from_the_model_of_its_base_version_and_promotes_an_alias(host):
    create_model(host, "chain")
    first = host.start_execution("chain-train", {"steps": 1, "name": "one", "roost": {"promote": {"alias": "live"}}})
    assert host.finished(first)["Status"] == "SUCCEEDED"
    assert host.invoke("chain", qualifier="live").json["name"] == "one"
    second = host.start_execution(
        "chain-train", {"steps": 1, "name": "two", "roost": {"base": "live", "promote": {"alias": "live"}}})
    ended = host.finished(second)
    assert ended["Status"] == "SUCCEEDED" and ended["PublishedVersion"] == 2 and ended["Promote"] == "live"
    answer = host.invoke("chain", qualifier="live")
    assert answer.headers["X-Amz-Executed-Version"] == "2"
    assert answer.json["name"] == "two" and answer.json["base"] == "one"
    third = host.start_execution("chain-train", {"steps": 1, "name": "three", "roost": {"base": "1"}})
    assert host.finished(third)["PublishedVersion"] == 3
    assert host.invoke("chain", qualifier="3").json["base"] == "one"
    assert host.invoke("chain", qualifier="live").headers["X-Amz-Executed-Version"] == "2", "nobody asked for a move"
    assert host.versions("chain")[0]["Lineage"]["base"] == "1"
    # What a training published is rolled back like any other.
    assert host.rollback("chain", "live")["FunctionVersion"] == "1"
    assert host.invoke("chain", qualifier="live").json["name"] == "one"
    history = host.call("GET", "/roost/v1/functions/chain/aliases/live/history")["History"]
    assert any(second in json.dumps(change) for change in history), "the history names the execution"


def test_progress_is_seen_while_the_training_runs(host):
    create_model(host, "watched")
    identifier = host.start_execution("watched-train", {"steps": 200, "pause": 0.02})
    execution = host.running(identifier, step=3)
    assert 0 < execution["Progress"]["fraction"] < 1
    assert execution["Progress"]["metrics"]["loss"] > 0 and execution["Progress"]["message"].startswith("step ")
    assert host.kinds(identifier)[:2] == ["accepted", "attemptStarted"]
    host.call("POST", f"/roost/v1/executions/{identifier}/stop")


def test_a_training_that_fails_publishes_nothing_and_is_not_run_again(host):
    create_model(host, "failing")
    execution = host.finished(host.start_execution("failing-train", {"steps": 2, "fail": True}))
    assert execution["Status"] == "FAILED" and execution["Attempt"] == 1
    assert execution["Error"] == {"ErrorType": "ArithmeticError", "ErrorMessage": "the loss is infinite"}
    assert host.versions("failing") == []
    assert "PublishedVersion" not in execution


def test_a_training_that_leaves_no_model_fails_and_says_so(host):
    create_model(host, "empty")
    execution = host.finished(host.start_execution("empty-train", {"steps": 1, "empty": True}))
    assert execution["Status"] == "FAILED"
    assert execution["Error"]["ErrorType"] == "Roost.TrainingOutput"
    assert "ROOST_OUTPUT_DIR" in execution["Error"]["ErrorMessage"]
    assert host.versions("empty") == []


def test_a_training_over_its_time_is_ended(host):
    create_model(host, "overtime")
    host.call("PUT", f"{FUNCTIONS}/overtime-train/configuration", {"Timeout": 1})
    execution = host.finished(host.start_execution("overtime-train", {"steps": 1000, "pause": 0.05}))
    assert execution["Status"] == "TIMED_OUT" and host.versions("overtime") == []


def test_a_training_whose_worker_is_killed_fails(host):
    create_model(host, "shot")
    identifier = host.start_execution("shot-train", {"steps": 1000, "pause": 0.05})
    host.running(identifier, step=1)
    for pid in host.worker_pids("shot-train"):
        os.kill(pid, 9)
    execution = host.finished(identifier)
    assert execution["Status"] == "FAILED" and "signal: killed" in execution["Error"]["ErrorMessage"]
    assert host.versions("shot") == []


def test_what_a_training_leaves_in_its_output_is_checked(host):
    create_model(host, "odd")
    host.create("odd-link-train", files={"m.py": """
import os
def train(event, context):
    os.symlink("/etc/passwd", os.environ["ROOST_OUTPUT_DIR"] + "/model.json")
    os.mkfifo(os.environ["ROOST_OUTPUT_DIR"] + "/pipe")
    return {}
"""}, handler="m.train", environment={"ROOST_TRAINS": "odd"}, timeout=60)
    execution = host.finished(host.start_execution("odd-link-train", {}))
    assert execution["Status"] == "FAILED", execution
    assert execution["Error"]["ErrorType"] == "Roost.TrainingOutput"
    assert host.versions("odd") == []


@pytest.mark.parametrize("directives, word", [
    ({"channels": {"train": "sha256:" + "0" * 64}}, "train"),
    ({"channels": {"train": "/etc/passwd"}}, "/etc/passwd"),
    ({"channels": {"../up": "sha256:" + "0" * 64}}, "../up"),
    ({"base": "no such version"}, "base"),
    ({"promote": {"alias": "1"}}, "alias"),
    ({"promot": {"alias": "live"}}, "promot"),
])
def test_directives_that_cannot_be_followed_are_refused_at_once(host, directives, word):
    if not host.request("GET", f"{FUNCTIONS}/strict").status == 200:
        create_model(host, "strict")
    answer = host.invoke("strict-train", {"roost": directives}, headers={"X-Amz-Invocation-Type": "Event"})
    assert answer.status == 400, answer
    assert word in answer.json["message"]
    assert host.call("GET", "/roost/v1/executions?function=strict-train")["Executions"] == []


def test_a_base_that_is_not_there_is_refused(host):
    create_model(host, "baseless")
    for base in ("7", "nobody"):
        answer = host.invoke("baseless-train", {"roost": {"base": base}}, headers={"X-Amz-Invocation-Type": "Event"})
        assert answer.status == 404, answer


def test_a_training_is_not_for_a_client_that_waits(host):
    create_model(host, "waiting")
    answer = host.invoke("waiting-train", {})
    assert answer.status == 400 and answer.headers["x-amzn-ErrorType"] == "ModeNotSupportedException"
    assert answer.status == 400 and "Event" in answer.json["message"]


def test_trainings_beyond_the_limit_wait_for_their_turn(host):
    create_model(host, "many")
    identifiers = [host.start_execution("many-train", {"steps": 20, "pause": 0.02, "name": str(n)}) for n in range(5)]
    until(lambda: [host.execution(i)["Status"] for i in identifiers].count("RUNNING") == 2, 10)
    most = 0
    while any(host.execution(i)["Status"] not in ("SUCCEEDED",) for i in identifiers):
        statuses = [host.execution(i)["Status"] for i in identifiers]
        assert set(statuses) <= {"QUEUED", "RUNNING", "SUCCEEDED"}, statuses
        most = max(most, len(host.workers("many-train", "busy")))
    assert most <= 2
    assert sorted(host.execution(i)["PublishedVersion"] for i in identifiers) == [1, 2, 3, 4, 5]


def test_train_on_the_command_line_follows_to_the_end(host, tmp_path):
    create_model(host, "told")
    (tmp_path / "data.tsv").write_text("pos\tgood\n")
    output = host.roost(
        "train", "told", "-d", '{"steps": 3, "name": "cli"}', "--channel", f"train={tmp_path / 'data.tsv'}",
        "--promote", "live", "--name", "by-hand", "--json")
    last = json.loads(output.strip().splitlines()[-1])
    assert last["status"] == "SUCCEEDED" and str(last["version"]) == "1"
    assert last["metrics"]["startedAt"] == 0 and "/by-hand/" in last["executionArn"]
    assert host.invoke("told", qualifier="live").json["channels"] == {"train": "pos\tgood\n"}


def test_a_training_is_started_and_found_with_boto3_alone(host):
    client = host.boto3()
    code = {"ZipFile": __import__("base64").b64decode(host.package(files={"m.py": MODEL}))}
    role = "arn:aws:iam::000000000000:role/roost"
    client.create_function(FunctionName="boto", Runtime="python3", Role=role, Handler="m.infer", Code=code)
    client.create_function(
        FunctionName="boto-train", Runtime="python3", Role=role, Handler="m.train", Code=code, Timeout=60,
        Environment={"Variables": {"ROOST_TRAINS": "boto"}})
    started = client.invoke(FunctionName="boto-train", InvocationType="Event", Payload=b'{"steps": 2, "name": "b"}')
    assert started["StatusCode"] == 202
    arn = started["DurableExecutionArn"]
    until(lambda: client.get_durable_execution(DurableExecutionArn=arn)["Status"] == "SUCCEEDED", 10)
    versions = client.list_versions_by_function(FunctionName="boto")["Versions"]
    assert [version["Version"] for version in versions] == ["$LATEST", "1"]
    assert json.load(client.invoke(FunctionName="boto:1")["Payload"])["name"] == "b"


# MARK: - executions that train nothing

COUNTER = """
import time

def handler(event, context):
    time.sleep(event.get("seconds", 0))
    print("called", event["key"], flush=True)
    if event.get("fail"):
        raise KeyError("again")
    return {"key": event["key"]}
"""


def calls(host, function, key):
    return sum(line[4] == f"called {key}" for line in host.log(function))


def test_an_execution_that_fails_is_tried_three_times(host):
    host.create("flaky", COUNTER)
    begin = time.monotonic()
    identifier = host.start_execution("flaky", {"key": "flaky", "fail": True})
    execution = host.finished(identifier)
    assert execution["Status"] == "FAILED" and execution["Attempt"] == 3
    assert execution["Error"]["ErrorType"] == "KeyError"
    assert time.monotonic() - begin >= 0.4
    until(lambda: calls(host, "flaky", "flaky") == 3, 2)
    assert host.kinds(identifier).count("attemptStarted") == 3
    assert host.failures(identifier) == 3
    assert host.kinds(identifier)[-1] == "ended"


def test_an_execution_that_succeeds_has_its_result(host):
    host.create("good", COUNTER)
    execution = host.finished(host.start_execution("good", {"key": "x"}))
    assert execution["Status"] == "SUCCEEDED" and json.loads(execution["Result"]) == {"key": "x"}
    assert execution["Attempt"] == 1
    listed = host.call("GET", "/roost/v1/executions?function=good&status=SUCCEEDED")["Executions"]
    assert [e["Id"] for e in listed] == [execution["Id"]]


def test_the_same_name_twice_is_the_same_execution(host):
    host.create("named", COUNTER)
    event = {"key": "named", "seconds": 0.2}
    first = host.start_execution("named", event, "nightly")
    assert host.start_execution("named", event, "nightly") == first
    assert host.finished(first)["Status"] == "SUCCEEDED"
    assert host.start_execution("named", event, "nightly") == first, "after its end, too"
    other = host.invoke("named", {"key": "other"}, headers={
        "X-Amz-Invocation-Type": "Event", "X-Amz-Durable-Execution-Name": "nightly"})
    assert other.status == 409 and other.headers["x-amzn-ErrorType"] == "DurableExecutionAlreadyStartedException"
    until(lambda: calls(host, "named", "named") == 1, 2)
    assert len(host.call("GET", "/roost/v1/executions?function=named")["Executions"]) == 1


def test_many_at_once_with_the_same_name_are_one(host):
    from concurrent.futures import ThreadPoolExecutor

    host.create("rush", COUNTER)
    with ThreadPoolExecutor(12) as pool:
        started = list(pool.map(lambda _: host.start_execution("rush", {"key": "rush"}, "one"), range(12)))
    assert len(set(started)) == 1
    assert host.finished(started[0])["Status"] == "SUCCEEDED"
    assert calls(host, "rush", "rush") == 1


def test_an_execution_that_waits_is_stopped_without_running(host):
    host.create("stopped", COUNTER, reserved=1)
    first = host.start_execution("stopped", {"key": "first", "seconds": 1})
    host.running(first)
    second = host.start_execution("stopped", {"key": "second"})
    host.call("POST", f"/roost/v1/executions/{second}/stop")
    assert host.execution(second)["Status"] == "STOPPED"
    assert host.finished(first)["Status"] == "SUCCEEDED"
    third = host.finished(host.start_execution("stopped", {"key": "third"}))
    assert third["Status"] == "SUCCEEDED"
    assert calls(host, "stopped", "second") == 0
    # Once more changes nothing.
    host.call("POST", f"/roost/v1/executions/{second}/stop")
    host.call("POST", f"/roost/v1/executions/{first}/stop")
    assert host.execution(first)["Status"] == "SUCCEEDED"


def test_an_execution_that_runs_is_stopped_and_its_worker_ends(host):
    host.create("running", COUNTER, timeout=60)
    identifier = host.start_execution("running", {"key": "x", "seconds": 50})
    host.running(identifier)
    processes = Processes(host.sandbox_processes("running"))
    assert len(processes) >= 3
    host.call("POST", f"/roost/v1/executions/{identifier}/stop")
    execution = host.execution(identifier)
    assert execution["Status"] == "STOPPED" and execution["EndedAt"] > 0
    until(lambda: not processes.left(), 4, "the end of the worker")
    assert host.execution(identifier)["Status"] == "STOPPED"
    assert host.kinds(identifier)[-2:] == ["stopRequested", "ended"]


def test_a_training_that_is_stopped_publishes_nothing_and_leaves_no_files(host):
    create_model(host, "halted")
    identifier = host.start_execution("halted-train", {"steps": 1000, "pause": 0.05})
    host.running(identifier, step=2)
    processes = Processes(host.sandbox_processes("halted-train"))
    host.boto3().stop_durable_execution(DurableExecutionArn=host.execution(identifier)["ExecutionArn"])
    assert host.execution(identifier)["Status"] == "STOPPED"
    until(lambda: not processes.left(), 4, "the end of the worker")
    assert host.versions("halted") == []
    until(lambda: not (host.data_dir / "executions" / identifier).exists(), 3, "the removal of its files")


def test_a_training_that_does_not_listen_is_killed_after_the_grace(host):
    create_model(host, "deaf")
    identifier = host.start_execution("deaf-train", {"steps": 1000, "pause": 0.05, "stubborn": True})
    host.running(identifier, step=1)
    processes = Processes(host.sandbox_processes("deaf-train"))
    begin = time.monotonic()
    host.call("POST", f"/roost/v1/executions/{identifier}/stop")
    until(lambda: not processes.left(), 5, "the end of the worker")
    assert 1.5 < time.monotonic() - begin < 4.5
    assert host.execution(identifier)["Status"] == "STOPPED"
    # Another one can run at once.
    assert host.finished(host.start_execution("deaf-train", {"steps": 1}))["Status"] == "SUCCEEDED"
    until(lambda: not (host.data_dir / "executions" / identifier).exists(), 3, "the removal of its files")


def test_an_execution_runs_the_version_that_it_was_accepted_for(host):
    host.create("moving", "import time\ndef handler(event, context):\n    time.sleep(0.5)\n    return 1\n", publish=True, reserved=1)
    host.set_alias("moving", "live", 1)
    host.invoke("moving", qualifier="live")
    answer = host.request("POST", f"{FUNCTIONS}/moving/invocations?Qualifier=live", {}, {"X-Amz-Invocation-Type": "Event"})
    identifier = answer.headers["X-Amz-Durable-Execution-Arn"].rsplit("/", 1)[1]
    host.update_code("moving", "def handler(event, context): return 2\n", publish=True)
    host.set_alias("moving", "live", 2)
    execution = host.finished(identifier)
    assert execution["Version"] == "1" and execution["Result"] == "1"


# MARK: - the end of the host

def test_a_killed_host_resumes_its_trainings_and_publishes_each_once(tmp_path):
    with RoostHost(tmp_path / "data", CONFIG) as host:
        create_model(host, "durable")
        event = {"steps": 40, "pause": 0.03}
        identifiers = [host.start_execution("durable-train", {**event, "name": name}) for name in ("a", "b", "c")]
        before = host.running(identifiers[0], step=8)["Progress"]["step"]
        assert [host.execution(i)["Status"] for i in identifiers[1:]] == ["QUEUED", "QUEUED"]
        processes = Processes(descendants(host.pid))
        assert len(processes) >= 3
        host.kill9()
        until(lambda: not processes.left(), 2, "the end of every worker")
        host.start()
        ended = [host.finished(i, 30) for i in identifiers]
        assert [e["Status"] for e in ended] == ["SUCCEEDED"] * 3
        assert [e["Attempt"] for e in ended] == [2, 1, 1]
        assert [e["PublishedVersion"] for e in ended] == [1, 2, 3]
        assert [v["Version"] for v in host.versions("durable")] == ["3", "2", "1"]
        resumed = json.loads(ended[0]["Result"])["metrics"]["startedAt"]
        assert before - 1 <= resumed < 40, "it went on from its checkpoint"
        assert host.invoke("durable", qualifier="1").json["startedAt"] == resumed
        assert host.invoke("durable", qualifier="1").json["attempt"] == 2
        assert "interrupted" in host.kinds(identifiers[0])


def test_a_kill_around_the_end_of_a_training_never_publishes_twice(tmp_path):
    with RoostHost(tmp_path / "data", CONFIG) as host:
        create_model(host, "edge")
        moments = (0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.15)
        attempts = []
        for number, seconds in enumerate(moments, 1):
            identifier = host.start_execution("edge-train", {"steps": 2, "name": str(number)})
            until(lambda: host.execution(identifier)["Status"] != "QUEUED", 5)
            time.sleep(seconds)  # the moment of the kill is what varies
            host.kill9()
            host.start()
            execution = host.finished(identifier)
            assert execution["Status"] == "SUCCEEDED" and execution["PublishedVersion"] == number
            assert host.invoke("edge").json["name"] == str(number)
            attempts.append(execution["Attempt"])
        assert [v["Version"] for v in host.versions("edge")] == [str(n) for n in range(len(moments), 0, -1)]
        print("attempts:", attempts)


def test_sigterm_lets_a_training_save_and_the_next_start_resumes_it_without_a_retry(tmp_path):
    with RoostHost(tmp_path / "data", {**CONFIG, "stopGraceSeconds": 10}) as host:
        create_model(host, "paused")
        # Its own checkpoints are far apart: what it resumes from is what SIGTERM made it save.
        event = {"steps": 60, "pause": 0.03, "saveEvery": 1000, "name": "paused"}
        identifier = host.start_execution("paused-train", event)
        before = host.running(identifier, step=8)["Progress"]["step"]
        waiting = host.start_execution("paused-train", {"steps": 1, "name": "after"})
        begin = time.monotonic()
        host.stop()
        assert time.monotonic() - begin < 5
        saved = int((host.data_dir / "executions" / identifier / "checkpoint" / "step").read_text())
        assert saved >= before
        host.start()
        execution = host.finished(identifier, 30)
        assert execution["Status"] == "SUCCEEDED"
        assert json.loads(execution["Result"])["metrics"]["startedAt"] == saved
        kinds = host.kinds(identifier)
        assert host.failures(identifier) == 0, "an attempt that the host cut off does not count"
        assert kinds.count("interrupted") == 1 and kinds.count("attemptStarted") == 2
        assert host.finished(waiting)["Status"] == "SUCCEEDED"
        assert {execution["PublishedVersion"], host.execution(waiting)["PublishedVersion"]} == {1, 2}
        assert [line for line in host.log("paused-train") if line[4].startswith("told to stop")]


def test_executions_are_taken_up_again_in_the_order_of_acceptance(tmp_path):
    with RoostHost(tmp_path / "data", CONFIG) as host:
        create_model(host, "ordered")
        identifiers = [host.start_execution("ordered-train", {"steps": 10, "pause": 0.03})]
        host.running(identifiers[0])
        identifiers += [host.start_execution("ordered-train", {"steps": 1}) for _ in range(5)]
        host.restart()
        assert [host.finished(i)["PublishedVersion"] for i in identifiers] == [1, 2, 3, 4, 5, 6]


def test_executions_that_wait_for_a_retry_or_a_worker_survive_the_host(tmp_path):
    config = {"retryDelaysSeconds": [1.0, 0.2], "stopGraceSeconds": 1}
    with RoostHost(tmp_path / "data", config) as host:
        host.create("later", COUNTER, reserved=1)
        failing = host.start_execution("later", {"key": "failing", "fail": True})
        until(lambda: "attemptEnded" in host.kinds(failing), 5)
        running = host.start_execution("later", {"key": "running", "seconds": 1})
        host.running(running)
        queued = [host.start_execution("later", {"key": f"queued{n}"}) for n in range(20)]
        host.kill9()
        host.start()
        assert host.finished(failing)["Status"] == "FAILED"
        assert host.failures(failing) == 3
        assert host.finished(running)["Status"] == "SUCCEEDED"
        assert host.failures(running) == 0
        for identifier in queued:
            assert host.finished(identifier)["Status"] == "SUCCEEDED"
        # Cut off five times, it still has its retries.
        long = host.start_execution("later", {"key": "long", "seconds": 0.6})
        for _ in range(4):
            host.running(long)
            host.kill9()
            host.start()
        assert host.finished(long)["Status"] == "SUCCEEDED"


def test_an_execution_that_was_stopped_stays_stopped_after_a_restart(tmp_path):
    with RoostHost(tmp_path / "data", CONFIG) as host:
        host.create("final", COUNTER, timeout=60)
        identifier = host.start_execution("final", {"key": "final", "seconds": 50})
        host.running(identifier)
        host.call("POST", f"/roost/v1/executions/{identifier}/stop")
        host.kill9()
        host.start()
        assert host.execution(identifier)["Status"] == "STOPPED"
        assert host.invoke("final", {"key": "next"}).json == {"key": "next"}
        assert calls(host, "final", "final") == 0


def test_executions_of_a_function_that_is_deleted_end(host):
    host.create("doomed", COUNTER, reserved=1, timeout=60)
    running = host.start_execution("doomed", {"key": "running", "seconds": 0.5})
    host.running(running)
    waiting = [host.start_execution("doomed", {"key": "waiting"}) for _ in range(3)]
    host.call("DELETE", f"{FUNCTIONS}/doomed")
    assert host.finished(running)["Status"] in ("SUCCEEDED", "FAILED", "STOPPED")
    for identifier in waiting:
        assert host.finished(identifier)["Status"] in ("SUCCEEDED", "FAILED", "STOPPED")
    # A new function of that name is another one.
    host.create("doomed", COUNTER)
    assert host.call("GET", "/roost/v1/executions?function=doomed")["Executions"] == []
    assert host.finished(host.start_execution("doomed", {"key": "new"}))["Status"] == "SUCCEEDED"


def test_an_execution_of_a_function_without_concurrency_fails_and_says_so(host):
    host.create("shut", COUNTER, reserved=0)
    execution = host.finished(host.start_execution("shut", {"key": "x"}))
    assert execution["Status"] == "FAILED" and "concurrency" in execution["Error"]["ErrorMessage"]


def test_an_execution_whose_function_cannot_start_is_retried_and_fails_with_the_init_error(host):
    host.create("unstartable", "import no_such_module\n")
    execution = host.finished(host.start_execution("unstartable", {}), 30)
    assert execution["Status"] == "FAILED" and execution["Error"]["ErrorType"] == "Runtime.ImportModuleError"


def test_a_flood_of_progress_is_survived(host):
    create_model(host, "flooding")
    identifier = host.start_execution("flooding-train", {"steps": 5000, "pause": 0, "saveEvery": 100000})
    seconds = []
    while host.execution(identifier)["Status"] in ("QUEUED", "RUNNING"):
        begin = time.monotonic()
        host.request("GET", "/healthz")
        seconds.append(time.monotonic() - begin)
    execution = host.finished(identifier)
    assert execution["Status"] == "SUCCEEDED" and execution["Progress"]["step"] == 5000
    assert max(seconds) < 0.5


def test_a_hundred_executions_at_once_are_all_run_once(host):
    host.create("batch", COUNTER, reserved=4)
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(8) as pool:
        started = list(pool.map(lambda n: host.start_execution("batch", {"key": n}), range(100)))
    ended = [host.finished(i, 30) for i in started]
    assert {e["Status"] for e in ended} == {"SUCCEEDED"}
    assert [json.loads(e["Result"])["key"] for e in ended] == list(range(100))
    until(lambda: sum(line[4].startswith("called ") for line in host.log("batch")) == 100, 3)


def test_a_second_sigterm_and_sigint_end_the_host_with_0_too(tmp_path):
    for numbers in ([signal.SIGINT], [signal.SIGTERM, signal.SIGTERM], [signal.SIGTERM, signal.SIGINT]):
        with RoostHost(tmp_path / "data", CONFIG) as host:
            name = "f" + "".join(str(int(n)) for n in numbers)
            host.create(name, SLEEPER)
            host.in_background(name, {"seconds": 0.3})
            until(lambda: host.workers(name, "busy"), 5)
            for number in numbers:
                host.process.send_signal(number)
            # And whoever goes on asking, also while what is left is being written.
            while len(numbers) > 1 and host.process.poll() is None:
                host.process.send_signal(numbers[1])
                time.sleep(0.01)
            assert host.exit_code() == 0
