"""Gates of promotions, lineage, and trainings whose end is bad input: clear errors, and nothing published."""

import json
import os
import signal
import subprocess
import threading

import pytest

from roost_host import BINARY, FUNCTIONS, RoostHost, until

CONFIG = {"retryDelaysSeconds": [0.1], "stopGraceSeconds": 2, "trainingConcurrency": 4, "trainingOutputMegabytes": 1}

# Does what the event says; the model is the event.
TRAINER = """
import json, os, pathlib, sys

def infer(event, context):
    return json.loads(pathlib.Path(os.environ["ROOST_MODEL_DIR"], "model.json").read_text())

def train(event, context):
    for metrics in event.get("reports", []):
        context.progress(metrics=metrics)
    if event.get("output", True):
        output = pathlib.Path(os.environ["ROOST_OUTPUT_DIR"])
        (output / "model.json").write_text(json.dumps(event))
        for number, size in enumerate(event.get("sizes", [])):
            with open(output / f"weights-{number}", "wb") as file:
                file.truncate(size) if event.get("sparse") else file.write(bytes(size))
    if event.get("fails", 0) >= int(os.environ["ROOST_ATTEMPT"]):
        raise RuntimeError("not yet")
    if "exit" in event:
        sys.stdout.flush()
        os._exit(event["exit"])
    return event.get("answer", {"metrics": event.get("metrics", {})})
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with RoostHost(tmp_path_factory.mktemp("gates") / "data", CONFIG) as host:
        yield host


def create(host, name, memory=128):
    host.create(name, files={"m.py": TRAINER}, handler="m.infer")
    host.create(f"{name}-train", files={"m.py": TRAINER}, handler="m.train", environment={"ROOST_TRAINS": name},
                timeout=60, memory=memory)
    # Whatever a gate says is final, also where retries are configured.
    host.call("PUT", f"/2019-09-25/functions/{name}-train/event-invoke-config", {"MaximumRetryAttempts": 1})


def gate(metric, **condition):
    return {"promote": {"alias": "live", "if": {"metric": metric, **condition}}}


def train(host, name, directives=None, **event):
    """The training once it has ended."""
    if directives:
        event["roost"] = directives
    return host.finished(host.start_execution(f"{name}-train", event))


def live(host, name):
    """The version that the alias points to."""
    answer = host.request("GET", f"{FUNCTIONS}/{name}/aliases/live")
    return answer.json["FunctionVersion"] if answer.status == 200 else None


def command(host, *arguments):
    return subprocess.run(
        [BINARY, *map(str, arguments), "--endpoint", host.endpoint], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=60)


def check_failed(host, name, execution, error, *words):
    """It failed once, and nothing of it is there."""
    assert execution["Status"] == "FAILED", execution
    assert execution["Error"]["ErrorType"] == error, execution
    assert all(word in execution["Error"]["ErrorMessage"] for word in words), execution
    assert "PublishedVersion" not in execution and "Promotion" not in execution
    assert not {"published", "promotion"} & set(host.kinds(execution["Id"]))
    assert host.versions(name) == [] and live(host, name) is None
    assert host.invoke(name).function_error, "$LATEST has got no model"


# MARK: - the gate

def test_an_alias_moves_only_when_the_metric_is_good_enough(host):
    create(host, "limit")
    good = train(host, "limit", gate("accuracy", atLeast=0.8), metrics={"accuracy": 0.8})
    assert good["Status"] == "SUCCEEDED" and good["PublishedVersion"] == 1 and live(host, "limit") == "1"
    assert good["Promotion"] == {
        "alias": "live", "moved": True, "metric": "accuracy", "value": 0.8, "reason": "accuracy 0.8 is at least 0.8"}
    bad = train(host, "limit", gate("accuracy", atLeast=0.8), metrics={"accuracy": 0.79})
    assert bad["Status"] == "SUCCEEDED" and bad["PublishedVersion"] == 2, "it is published all the same"
    assert live(host, "limit") == "1"
    assert bad["Promotion"]["moved"] is False and bad["Promotion"]["reason"] == "accuracy 0.79 is less than 0.8"
    assert bad["Promotion"]["currentVersion"] == "1"
    assert host.kinds(bad["Id"])[-3:] == ["published", "promotion", "ended"]
    assert [e["Detail"] for e in host.events(bad["Id"]) if e["Kind"] == "promotion"] == [bad["Promotion"]]
    assert host.versions("limit")[0]["Lineage"]["metrics"] == {"accuracy": 0.79}
    low = train(host, "limit", gate("loss", atMost=0.3), metrics={"loss": 0.3})
    assert low["Promotion"]["moved"] is True and live(host, "limit") == "3"
    high = train(host, "limit", gate("loss", atMost=0.3), metrics={"loss": 0.31})
    assert high["Promotion"]["moved"] is False and live(host, "limit") == "3"
    history = host.call("GET", "/roost/v1/functions/limit/aliases/live/history")["History"]
    assert [(change["Cause"], change["To"]["FunctionVersion"]) for change in history] == [
        ("promoted", "3"), ("created", "1")]


@pytest.mark.parametrize("direction, values, expected", [
    ({}, [0.5, 0.6, 0.6, 0.55, 0.7], ["1", "2", "2", "2", "5"]),
    ({"direction": "max"}, [1, 2, 1.5], ["1", "2", "2"]),
    ({"direction": "min"}, [0.5, 0.6, 0.4, 0.4], ["1", "1", "3", "3"]),
])
def test_an_alias_moves_only_to_what_is_better(host, direction, values, expected):
    name = "better-" + direction.get("direction", "default")
    create(host, name)
    seen = []
    for value in values:
        train(host, name, gate("score", betterThan="current", **direction), metrics={"score": value})
        seen.append(live(host, name))
    assert seen == expected


def test_the_comparison_is_with_the_version_that_the_alias_points_to(host):
    create(host, "pointed")
    for score in (0.9, 0.5):
        train(host, "pointed", metrics={"score": score})
    host.set_alias("pointed", "live", 2)
    moved = train(host, "pointed", gate("score", betterThan="current"), metrics={"score": 0.6})
    assert moved["Promotion"] == {
        "alias": "live", "moved": True, "metric": "score", "value": 0.6, "currentVersion": "2", "currentValue": 0.5,
        "reason": "score 0.6 is better than 0.5 of version 2"}
    # Rolled back, it is compared with the one before again.
    host.rollback("pointed", "live")
    assert train(host, "pointed", gate("score", betterThan="current"), metrics={"score": 0.55})["Promotion"]["moved"]
    host.set_alias("pointed", "live", 1)
    stays = train(host, "pointed", gate("score", betterThan="current"), metrics={"score": 0.8})
    assert stays["Promotion"]["reason"] == "score 0.8 is not better than 0.9 of version 1"
    assert live(host, "pointed") == "1"


def test_a_version_without_the_metric_is_not_replaced(host):
    create(host, "unknown")
    train(host, "unknown", metrics={"loss": 1})
    host.set_alias("unknown", "live", 1)
    execution = train(host, "unknown", gate("score", betterThan="current"), metrics={"score": 1})
    assert execution["Promotion"]["moved"] is False and live(host, "unknown") == "1"
    assert execution["Promotion"]["reason"].endswith("cannot be compared: version 1 has no such metric")


def test_without_metrics_in_the_answer_the_reported_ones_count(host):
    create(host, "reported")
    reports = [{"loss": 0.9, "accuracy": 0.5}, {"accuracy": 0.8}, {"loss": 0.2}]
    execution = train(host, "reported", gate("accuracy", atLeast=0.75), reports=reports, answer={"done": True})
    assert execution["Promotion"]["moved"] is True and execution["Promotion"]["value"] == 0.8
    assert host.versions("reported")[0]["Lineage"]["metrics"] == {"loss": 0.2, "accuracy": 0.8}
    # Those of the answer go before, as a whole.
    execution = train(host, "reported", gate("accuracy", atLeast=0.75), reports=reports, metrics={"accuracy": 0.7})
    assert execution["Promotion"]["moved"] is False
    assert host.versions("reported")[0]["Lineage"]["metrics"] == {"accuracy": 0.7}


def test_metrics_of_an_attempt_that_failed_do_not_count(tmp_path):
    with RoostHost(tmp_path / "data", CONFIG) as host:
        create(host, "stale")
        host.create("once-train", files={"m.py": TRAINER.replace(
            'for metrics in event.get("reports", []):',
            'for metrics in event["reports"] if os.environ["ROOST_ATTEMPT"] == "1" else []:')},
            handler="m.train", environment={"ROOST_TRAINS": "stale"}, timeout=60)
        host.call("PUT", "/2019-09-25/functions/once-train/event-invoke-config", {"MaximumRetryAttempts": 1})
        execution = host.finished(host.start_execution("once-train", {
            "fails": 1, "reports": [{"accuracy": 1}], "answer": {}, "roost": gate("accuracy", atLeast=0.5)}))
        assert execution["Attempt"] == 2
        check_failed(host, "stale", execution, "Roost.MetricMissing", "It reported none")


def test_a_gate_is_decided_in_the_commit_that_publishes(host):
    """While the alias is moved all the time, each promotion was compared with what the alias pointed to just then."""
    create(host, "raced")
    train(host, "raced", metrics={"score": 1})
    train(host, "raced", metrics={"score": 3})
    host.set_alias("raced", "live", 1)
    done = threading.Event()

    def move():
        while not done.is_set():
            for version in (2, 1):
                host.set_alias("raced", "live", version)

    mover = threading.Thread(target=move)
    mover.start()
    try:
        identifiers = [host.start_execution("raced-train", {
            "metrics": {"score": 2}, "roost": gate("score", betterThan="current")}) for _ in range(12)]
        ended = [host.finished(identifier, 60) for identifier in identifiers]
    finally:
        done.set()
        mover.join()
    history = host.call("GET", "/roost/v1/functions/raced/aliases/live/history")["History"]
    promoted = {change["To"]["FunctionVersion"]: change for change in history if change["Cause"] == "promoted"}
    for execution in ended:
        promotion, number = execution["Promotion"], str(execution["PublishedVersion"])
        assert promotion["moved"] == (promotion["currentValue"] < 2) == (number in promoted), promotion
        if promotion["moved"]:
            assert promoted[number]["From"]["FunctionVersion"] == promotion["currentVersion"]


@pytest.mark.parametrize("condition, word", [
    ({}, "metric"), ({"metric": "a"}, "atLeast"), ({"metric": "a", "atLeast": 1, "atMost": 2}, "needs one of"),
    ({"metric": "a", "atLeast": "1"}, "atLeast"), ({"metric": "a", "betterThan": "live"}, "current"),
    ({"metric": "a", "betterThan": "current", "direction": "up"}, "direction"),
    ({"metric": "a", "atLeast": 1, "direction": "max"}, "direction"), ({"metric": "", "atLeast": 1}, "metric"),
    ({"metric": "a", "above": 1}, "above"),
])
def test_a_gate_that_says_nothing_clear_is_refused_at_once(host, condition, word):
    if host.request("GET", f"{FUNCTIONS}/vague").status != 200:
        create(host, "vague")
    answer = host.invoke(
        "vague-train", {"roost": {"promote": {"alias": "live", "if": condition}}},
        headers={"X-Amz-Invocation-Type": "Event"})
    assert answer.status == 400 and word in answer.json["message"], answer
    assert host.call("GET", "/roost/v1/executions?function=vague-train")["Executions"] == []


def test_gates_on_the_command_line(host):
    create(host, "typed")
    options = ("train", "typed", "--promote", "live", "--if")
    first = command(host, *options, "accuracy>=0.8", "-d", '{"metrics": {"accuracy": 0.9, "loss": 0.4}}')
    assert first.returncode == 0 and "; alias live points to it: accuracy 0.9 is at least 0.8" in first.stdout, first
    second = command(host, *options, "accuracy>current", "-d", '{"metrics": {"accuracy": 0.85}}')
    assert second.returncode == 0, second
    assert "published version 2" in second.stdout
    assert "; alias live stays: accuracy 0.85 is not better than 0.9 of version 1" in second.stdout
    third = command(host, *options, "loss<current", "-d", '{"metrics": {"loss": 0.3}}', "--json")
    last = json.loads(third.stdout.splitlines()[-1])
    assert last["promotion"]["moved"] is True and last["version"] == "3" and last["metrics"] == {"loss": 0.3}
    fourth = command(host, *options, "loss <= 0.2", "-d", '{"metrics": {"loss": 0.3}}', "--json")
    assert json.loads(fourth.stdout.splitlines()[-1])["promotion"]["moved"] is False
    fifth = command(host, *options, "f1>=0.5", "-d", '{"metrics": {"loss": 0.3}}')
    assert fifth.returncode == 1 and "Roost.MetricMissing" in fifth.stderr and "reported: loss" in fifth.stderr
    for text in ("accuracy", "accuracy>0.8", "accuracy>=current", ">=1", "accuracy>=", "accuracy>=x", "a=1"):
        wrong = command(host, *options, text)
        assert wrong.returncode == 2 and "is no condition" in wrong.stderr, (text, wrong)
    alone = command(host, "train", "typed", "--if", "accuracy>=1")
    assert alone.returncode == 2 and "--promote" in alone.stderr
    assert len(host.versions("typed")) == 4


# MARK: - bad ends

@pytest.mark.parametrize("name, event, word", [
    ("others", {"metrics": {"loss": 1, "f1": 0.5}}, "It reported: loss, f1."),
    ("none", {"metrics": {}}, "It reported none."), ("text", {"metrics": {"accuracy": "high"}}, "It reported none."),
    ("no-answer", {"answer": None}, "It reported none."), ("list", {"answer": {"metrics": [1]}}, "It reported none."),
])
def test_a_gate_on_a_metric_that_is_absent_fails_the_training(host, name, event, word):
    name = f"absent-{name}"
    create(host, name)
    execution = train(host, name, gate("accuracy", atLeast=0), **event)
    check_failed(host, name, execution, "Roost.MetricMissing", "'live'", "'accuracy'", word)
    assert execution["Attempt"] == 1


@pytest.mark.parametrize("event", [
    {"sizes": [1_000_001]}, {"sizes": [400_000] * 3}, {"sizes": [2**40], "sparse": True},
], ids=["one file", "all together", "a terabyte of nothing"])
def test_an_output_that_is_too_large_fails_the_training(host, event):
    name = f"large-{len(event['sizes'])}-{int(event.get('sparse', False))}"
    create(host, name)
    execution = train(host, name, {"promote": {"alias": "live"}}, **event)
    check_failed(host, name, execution, "Roost.TrainingOutput", "more than 1 MB", "trainingOutputMegabytes")
    assert execution["Attempt"] == 1


def test_an_output_within_the_limit_is_published(host):
    create(host, "fits")
    assert train(host, "fits", sizes=[900_000], metrics={})["PublishedVersion"] == 1


def test_a_trainer_without_output_fails(host):
    create(host, "nothing")
    check_failed(host, "nothing", train(host, "nothing", output=False), "Roost.TrainingOutput", "ROOST_OUTPUT_DIR")


@pytest.mark.parametrize("code, words", [(0, ["without"]), (3, ["exit status 3"])])
def test_a_trainer_that_exits_without_an_answer_fails(host, code, words):
    create(host, f"mute-{code}")
    host.call("DELETE", f"/2019-09-25/functions/mute-{code}-train/event-invoke-config")
    check_failed(host, f"mute-{code}", train(host, f"mute-{code}", exit=code), "Runtime.ExitError", *words)


# MARK: - lineage

def test_a_version_knows_what_it_cost_and_what_it_was_trained_on(host):
    create(host, "known", memory=256)
    dataset = host.call("POST", "/roost/v1/datasets/known/versions", {"Manifest": host.upload({"a": b"1"})})
    plain = host.upload({"b": b"2"})
    execution = train(
        host, "known", {"channels": {"train": "dataset:known", "extra": plain}}, metrics={"accuracy": 0.5}, rate=2)
    lineage = host.versions("known")[0]["Lineage"]
    assert lineage["channels"] == {"train": dataset["Manifest"], "extra": plain}
    assert lineage["datasets"] == {"train": {"name": "known", "version": 1}}
    assert lineage["attempts"] == 1 and lineage["execution"] == execution["Id"]
    assert lineage["hyperparameters"] == {"metrics": {"accuracy": 0.5}, "rate": 2}
    waited = execution["StartedAt"] - execution["AcceptedAt"]
    assert abs(lineage["queuedSeconds"] - waited) < 0.002
    assert 0 <= lineage["trainingSeconds"] <= execution["EndedAt"] - execution["StartedAt"] + 0.002
    assert 1 <= lineage["memoryPeakMegabytes"] < 256, "of the process, not what it declares"
    expected = lineage["memoryPeakMegabytes"] / 1024 * lineage["trainingSeconds"]
    assert abs(lineage["costGigabyteSeconds"] - expected) < 0.002


def test_the_memory_of_a_trainers_children_counts(host):
    create(host, "parent")
    host.create("child-train", files={"m.py": """
import os, pathlib, signal, subprocess, sys

CHILD = "import signal; signal.signal(signal.SIGUSR1, signal.SIG_IGN); data = b'x' * (150 << 20); input()"

def train(event, context):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE)
    signal.sigwait({signal.SIGUSR1})
    child.kill()
    child.wait()
    pathlib.Path(os.environ["ROOST_OUTPUT_DIR"], "model.json").write_text("{}")
    return {}
"""}, handler="m.train", environment={"ROOST_TRAINS": "parent"}, timeout=60)
    identifier = host.start_execution("child-train", {})
    until(lambda: any(worker["MemoryMegabytes"] >= 150 and worker["Measured"] for worker in host.workers("child-train")),
          20, "the measurement")
    for pid in host.worker_pids("child-train"):
        os.kill(pid, signal.SIGUSR1)
    assert host.finished(identifier)["Status"] == "SUCCEEDED"
    assert 150 <= host.versions("parent")[0]["Lineage"]["memoryPeakMegabytes"] < 300


def test_the_time_of_earlier_attempts_counts(host):
    create(host, "twice")
    execution = train(host, "twice", fails=1, metrics={"a": 1})
    assert execution["Status"] == "SUCCEEDED" and execution["Attempt"] == 2
    lineage = host.versions("twice")[0]["Lineage"]
    assert lineage["attempts"] == 2
    events = host.events(execution["Id"])
    started = [e["At"] for e in events if e["Kind"] == "attemptStarted"]
    ended = [e["At"] for e in events if e["Kind"] == "attemptEnded"]
    assert abs(lineage["queuedSeconds"] - (started[0] - execution["AcceptedAt"])) < 0.002
    both = sum(end - start for start, end in zip(started, ended))
    # The last attempt's end is noted after its worker has gone.
    assert ended[0] - started[0] < lineage["trainingSeconds"] <= both + 0.002


def test_versions_and_their_difference_are_shown(host):
    create(host, "shown")
    host.call("POST", "/roost/v1/datasets/shown/versions", {"Manifest": host.upload({"a": b"1"})})
    for number, rate in enumerate((0.5, 0.25), 1):
        train(host, "shown", {"channels": {"train": f"dataset:shown@{number}"}}, rate=rate, extra="same",
              metrics={"accuracy": 0.5 + number / 8, "loss": 0.25})
        host.call("POST", "/roost/v1/datasets/shown/versions", {"Manifest": host.upload({"a": b"2"})})
        host.call("PUT", f"{FUNCTIONS}/shown/configuration", {"MemorySize": 512, "Environment": {
            "Variables": {"MODE": "new"}}})
    text = host.roost("versions", "shown")
    _, second = text.split("\nversion 2\n")
    second = second.split("\nversion 1\n")[0]
    for word in ("base", "$LATEST", "execution", "train=dataset:shown@2", "rate=0.25", "accuracy 0.7500", "trained for"):
        assert word in second, text
    host.set_alias("shown", "live", 2)
    diff = json.loads(host.roost("diff", "shown", "1", "live", "--json"))
    assert (diff["Function"], diff["From"], diff["To"]) == ("shown", "1", "2")
    fields = {
        group: {d["Field"]: (d["From"], d["To"]) for d in differences} for group, differences in diff.items()
        if isinstance(differences, list)}
    assert fields["Configuration"] == {"MemorySize": (128, 512), "Environment MODE": (None, "new")}
    assert set(fields["Artifacts"]) == {"Model"}
    assert fields["Lineage"]["channel train"] == ("dataset:shown@1", "dataset:shown@2")
    assert fields["Hyperparameters"]["rate"] == (0.5, 0.25) and "extra" not in fields["Hyperparameters"]
    assert diff["Metrics"] == [{"Field": "accuracy", "From": 0.625, "To": 0.75, "Change": 0.125}]
    table = host.roost("diff", "shown", "1", "2")
    assert "metrics accuracy" in table and "+0.1250" in table and "hyperparameters rate" in table
    assert host.roost("diff", "shown", "2", "2") == "versions 2 and 2 of shown are the same\n"
    for arguments, word in [(("shown", "1", "7"), "shown:7"), (("shown", "1", "nobody"), "shown:nobody"),
                            (("nobody", "1", "2"), "nobody")]:
        done = command(host, "diff", *arguments)
        assert done.returncode == 1 and word in done.stderr and "not found" in done.stderr, done
