"""The example functions from their own folders: built, deployed, trained and called as their READMEs say."""

import json
import sys

import pytest

from roost_host import FUNCTIONS, ROOT, RoostHost, until

sys.path.insert(0, str(ROOT / "functions" / "sentiment" / "demo"))
import datasets  # noqa: E402

GOOD = "wonderful warm funny touching brilliant lovely charming delightful superb moving".split()
BAD = "dreadful boring dull awful stupid tedious clumsy lifeless terrible bland".split()
NEUTRAL = "the film story actors plot scene ending music camera script director".split()


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with RoostHost(tmp_path_factory.mktemp("sentiment") / "data") as host:
        yield host


@pytest.fixture(scope="module")
def sentiment(host):
    """The function, built (slow the first time) and deployed."""
    host.roost("deploy", ROOT / "functions" / "sentiment")
    return "sentiment"


def folder(name):
    path = ROOT / "functions" / name
    return json.loads((path / "event.json").read_bytes()), json.loads((path / "expected.json").read_bytes())


def lines(count, seed=0):
    """Labelled sentences that a small model can learn: two words that say it all among five that say nothing."""
    import random

    chosen = random.Random(seed)
    for number in range(count):
        words, label = (GOOD, "positive") if number % 2 else (BAD, "negative")
        text = [*chosen.choices(NEUTRAL, k=5), *chosen.choices(words, k=2)]
        chosen.shuffle(text)
        yield label, " ".join(text)


def accuracy(host, items, qualifier="live"):
    right = 0
    for start in range(0, len(items), 500):
        part = items[start:start + 500]
        answer = host.invoke("sentiment", {"texts": [text for _, text in part]}, qualifier=qualifier)
        assert answer.function_error is None, answer
        results = answer.json["results"]
        assert len(results) == len(part)
        right += sum(result["label"] == label for result, (label, _) in zip(results, part))
    return right / len(items)


def train(host, items, path, *arguments, event=None):
    datasets.write(items, path)
    output = host.roost(
        "train", "sentiment", "-d", json.dumps(event or {}), "--channel", f"train={path}", "--json", *arguments)
    last = json.loads(output.strip().splitlines()[-1])
    assert last["status"] == "SUCCEEDED", last
    return last


def test_echo_answers_what_its_folder_expects(host):
    host.roost("deploy", ROOT / "functions" / "echo")
    event, expected = folder("echo")
    assert host.invoke("echo", event).json == expected
    printed = host.roost("invoke", "echo", "-d", f"@{ROOT / 'functions' / 'echo' / 'event.json'}")
    assert json.loads(printed) == expected


def test_sentiment_without_a_model_is_a_clear_function_error(host, sentiment):
    answer = host.invoke("sentiment", {"text": "fine"})
    assert answer.status == 200 and answer.function_error == "Unhandled"
    assert "model" in answer.json["errorMessage"]


@pytest.fixture(scope="module")
def trained(host, sentiment, tmp_path_factory):
    """A version trained on sentences made up here; needs no network."""
    return train(host, list(lines(1200)), tmp_path_factory.mktemp("made-up") / "train.tsv", "--promote", "live")


def test_sentiment_learns_what_it_is_taught(host, trained, record_property):
    assert trained["metrics"]
    reached = accuracy(host, list(lines(300, seed=1)))
    record_property("accuracy", reached)
    print(f"made-up sentences: {reached:.3f}; {trained['metrics']}")
    assert reached >= 0.95
    event, expected = folder("sentiment")
    answer = host.invoke("sentiment", event, qualifier="live").json
    assert {key: answer[key] for key in expected} == expected
    assert set(answer["probabilities"]) == {"positive", "negative"}
    assert abs(sum(answer["probabilities"].values()) - 1) < 1e-3


def test_sentiment_reports_each_epoch(host, trained):
    identifier = trained["executionArn"].rsplit("/", 1)[1]
    reports = [e["Detail"] for e in host.events(identifier) if e["Kind"] == "progress"]
    epochs = [report for report in reports if "step" in report]
    assert [report["step"] for report in epochs] == list(range(1, int(trained["metrics"]["epochs"]) + 1))
    assert all("loss" in report["metrics"] for report in epochs)
    fractions = [report["fraction"] for report in epochs]
    assert fractions == sorted(fractions) and 0 < fractions[0] and fractions[-1] <= 1


@pytest.mark.parametrize("event", [{}, {"text": 1}, {"texts": "no list"}, {"texts": [1]}, [], "text", None, {"text": "a", "texts": []}])
def test_bad_input_of_sentiment_is_a_clear_function_error(host, trained, event):
    answer = host.invoke("sentiment", json.dumps(event).encode(), qualifier="live")
    assert answer.status == 200 and answer.function_error == "Unhandled", answer
    assert answer.json["errorType"] and answer.json["errorMessage"]
    assert host.invoke("sentiment", {"text": "lovely"}, qualifier="live").json["label"] == "positive"


def test_odd_texts_are_texts(host, trained):
    texts = ["", " ", "\u0000", "好看的电影", "🎬" * 1000, "x" * 100_000]
    answer = host.invoke("sentiment", {"texts": texts}, qualifier="live")
    assert answer.function_error is None and len(answer.json["results"]) == len(texts), answer
    # Half a surrogate pair is JSON, but no text: an error of the function, if it is one, and not its end.
    answer = host.invoke("sentiment", {"text": "\ud83d"}, qualifier="live")
    assert answer.function_error is None or "\\ud83d" in answer.json["errorMessage"].lower(), answer
    assert host.invoke("sentiment", {"texts": []}, qualifier="live").json == {"results": []}


@pytest.mark.parametrize("content", [b"", b"no tab here\n", b"one\tonly one label\n" * 20, b"a\t\xff\xfe\nb\tgood\n"])
def test_data_that_cannot_be_learned_from_fails_the_training_and_publishes_nothing(host, trained, content):
    before = len(host.versions("sentiment"))
    channel = host.upload({"train.tsv": content})
    execution = host.finished(host.start_execution("sentiment-train", {"roost": {"channels": {"train": channel}}}), 30)
    assert execution["Status"] == "FAILED", execution
    assert execution["Error"]["ErrorMessage"]
    assert len(host.versions("sentiment")) == before


def test_a_training_without_data_says_so(host, sentiment):
    execution = host.finished(host.start_execution("sentiment-train", {}), 30)
    assert execution["Status"] == "FAILED" and "train" in execution["Error"]["ErrorMessage"]


def test_a_swift_training_resumes_from_its_checkpoint_after_the_hosts_end(host, trained, tmp_path):
    channel = host.upload({"train.tsv": "".join(f"{label}\t{text}\n" for label, text in lines(6000, seed=3)).encode()})
    event = {"epochs": 60, "patience": 60, "roost": {"channels": {"train": channel}}}
    answer = host.invoke("sentiment-train", event, headers={"X-Amz-Invocation-Type": "Event"})
    assert answer.status == 202, answer
    identifier = answer.headers["X-Amz-Durable-Execution-Arn"].rsplit("/", 1)[1]
    host.running(identifier, step=3, seconds=30)
    before = len(host.versions("sentiment"))
    host.restart()
    assert "interrupted" in host.kinds(identifier)
    execution = host.finished(identifier, 60)
    assert execution["Status"] == "SUCCEEDED" and execution["Attempt"] == 2, execution
    assert len(host.versions("sentiment")) == before + 1
    events = host.events(identifier)
    cut = next(i for i, e in enumerate(events) if e["Kind"] == "interrupted")
    steps = [[e["Detail"]["step"] for e in part if e["Kind"] == "progress" and "step" in e["Detail"]] for part in (events[:cut], events[cut:])]
    assert steps[1][0] >= steps[0][-1], "no epoch that was saved is trained again"


def test_a_training_paused_half_way_ends_with_the_same_bits_as_one_that_was_not(host, trained):
    channel = host.upload({"train.tsv": "".join(f"{label}\t{text}\n" for label, text in lines(6000, seed=4)).encode()})
    # Progress is stored four times a second, and an epoch takes some milliseconds.
    event = {"epochs": 800, "patience": 800, "seed": 7, "roost": {"channels": {"train": channel}}}

    def lineage(identifier):
        execution = host.finished(identifier, 60)
        assert execution["Status"] == "SUCCEEDED", execution
        version, = [v for v in host.versions("sentiment") if v["Lineage"]["execution"] == identifier]
        return execution, version["Lineage"]

    _, whole = lineage(host.start_execution("sentiment-train", event))
    identifier = host.start_execution("sentiment-train", event)
    host.running(identifier, step=200, seconds=30)
    host.roost("executions", "pause", identifier)
    until(lambda: host.execution(identifier)["Status"] == "PAUSED", 20, "the pause")
    assert 200 <= host.execution(identifier)["Progress"]["step"] < 800, "it was paused before its end"
    host.roost("executions", "resume", identifier)
    execution, parts = lineage(identifier)
    assert execution["Attempt"] == 2
    assert parts["model"] == whole["model"], "the same files, bit for bit"
    assert parts["metrics"]["validation_accuracy"] == whole["metrics"]["validation_accuracy"]


@pytest.mark.parametrize("name, least", [("movie", 0.79), ("chinese", 0.83)])
def test_sentiment_reaches_its_accuracy_in_every_language(host, sentiment, tmp_path, record_property, name, least):
    try:
        items, held_out = datasets.prepare(name)
    except datasets.Unavailable as error:
        pytest.skip(f"NOT MEASURED: {error}")
    result = train(host, items, tmp_path / "train.tsv", "--promote", name)
    reached = accuracy(host, held_out, name)
    record_property("accuracy", round(reached, 4))
    print(f"{name}: {reached:.4f} on {len(held_out)} held-out texts; {result['metrics']}")
    assert reached >= least


def test_an_idle_swift_worker_wakes_in_little_time(host, trained, record_property):
    host.call("PUT", f"{FUNCTIONS}/sentiment/configuration", {"Environment": {"Variables": {"ROOST_KEEP_ALIVE": "0"}}})
    times = []
    for _ in range(5):
        until(lambda: not any(p["Workers"] for p in host.pools("sentiment") if p["Version"] == "$LATEST"), 5)
        answer = host.invoke("sentiment", {"text": "lovely"})
        assert answer.function_error is None
        assert answer.is_cold
        times.append(answer.seconds * 1000)
    record_property("cold_ms", [round(t) for t in times])
    print("cold calls, ms:", [round(t) for t in times])
