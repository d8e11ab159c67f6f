"""Scripts that were written for SageMaker's script mode train here as they are: arguments, environment, channels,
metrics from what they print, checkpoints, and a model that is byte for byte what they wrote."""

import json
import os
import subprocess
import tempfile
import textwrap
from pathlib import Path

import pytest

from roost_host import RoostHost, ordinary_user, start_time, until

# Nothing in it knows where it runs.
SCRIPT = '''
import argparse
import csv
import json
import math
import os
import random


def read(folder):
    rows = []
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), newline="") as file:
            rows += [[float(cell) for cell in row] for row in csv.reader(file)]
    return [(row[1:], row[0]) for row in rows]


def predict(weights, features):
    return 1 / (1 + math.exp(-sum(w * x for w, x in zip(weights, [1.0] + features))))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shuffle", type=lambda text: text.lower() == "true", default=False)
    parser.add_argument("--model-dir", type=str, default=os.environ["SM_MODEL_DIR"])
    parser.add_argument("--output-data-dir", type=str, default=os.environ["SM_OUTPUT_DATA_DIR"])
    parser.add_argument("--train", type=str, default=os.environ["SM_CHANNEL_TRAIN"])
    parser.add_argument("--test", type=str, default=os.environ.get("SM_CHANNEL_TEST"))
    parser.add_argument("--hosts", type=list, default=json.loads(os.environ["SM_HOSTS"]))
    parser.add_argument("--current-host", type=str, default=os.environ["SM_CURRENT_HOST"])
    parser.add_argument("--num-gpus", type=int, default=os.environ["SM_NUM_GPUS"])
    args = parser.parse_args()

    assert args.current_host == args.hosts[0] and args.num_gpus >= 0
    train = read(args.train)
    generator = random.Random(args.seed)
    weights = [0.0] * (len(train[0][0]) + 1)
    history = []
    for epoch in range(args.epochs):
        if args.shuffle:
            generator.shuffle(train)
        loss = 0.0
        for features, label in train:
            p = predict(weights, features)
            loss -= math.log(p if label else 1 - p)
            for index, x in enumerate([1.0] + features):
                weights[index] += args.learning_rate * (label - p) * x
        loss /= len(train)
        history.append(loss)
        print(f"[{epoch + 1}/{args.epochs}] train_loss={loss:.6f};", flush=True)
    if args.test:
        test = read(args.test)
        correct = sum((predict(weights, features) > 0.5) == bool(label) for features, label in test)
        print(f"Test accuracy: {correct / len(test):.3f}")
    with open(os.path.join(args.model_dir, "model.json"), "w") as file:
        json.dump({"weights": weights}, file)
    with open(os.path.join(args.output_data_dir, "history.json"), "w") as file:
        json.dump(history, file)
'''

INFER = '''
import json, math, os
folder = os.environ.get("ROOST_MODEL_DIR")

def handler(event, context):
    with open(folder + "/model.json", "rb") as file:
        text = file.read().decode()
    weights = json.loads(text)["weights"]
    score = sum(w * x for w, x in zip(weights, [1.0] + event["features"]))
    files = sorted(os.path.relpath(os.path.join(base, name), folder) for base, _, names in os.walk(folder) for name in names)
    return {"p": 1 / (1 + math.exp(-score)), "model": text, "files": files}
'''

# As the documentation of such services shows it: a checkpoint at SIGTERM, and a look for one at the start.
CHECKPOINTER = '''
import argparse, os, signal, sys, time

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int)
parser.add_argument("--wait-at", type=int)
parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
parser.add_argument("--checkpoint-dir", default=os.environ["SM_CHECKPOINT_DIR"])
args = parser.parse_args()

path = os.path.join(args.checkpoint_dir, "state")
step = int(open(path).read()) if os.path.exists(path) else 0
resumed = step

def save(*_):
    with open(path + ".new", "w") as file:
        file.write(str(step))
    os.replace(path + ".new", path)
    print("saved at", step, flush=True)
    sys.exit(0)

signal.signal(signal.SIGTERM, save)
while step < args.steps:
    step += 1
    print(f"step {step} loss={1 / step}", flush=True)
    while step == args.wait_at and not resumed:
        time.sleep(0.01)
with open(os.path.join(args.model_dir, "model.json"), "w") as file:
    file.write(f'{{"weights": [{step}, {resumed}]}}')
'''

# The folders are constants, as in many a script that was written for SageMaker's containers. Counts the lines of its channel
# on top of what the base's model has counted.
CONSTANTS = '''
import json, os

with open("/opt/ml/input/config/hyperparameters.json") as file:
    hyperparameters = json.load(file)
with open("/opt/ml/input/config/inputdataconfig.json") as file:
    channels = json.load(file)
with open("/opt/ml/input/config/resourceconfig.json") as file:
    assert json.load(file) == {"current_host": "algo-1", "hosts": ["algo-1"]}
count = 0
if "model" in channels:
    with open("/opt/ml/input/data/model/model.json") as file:
        count = json.load(file)["weights"][0]
for name in sorted(os.listdir("/opt/ml/input/data/Train")):
    with open("/opt/ml/input/data/Train/" + name) as file:
        count += len(file.readlines())
for folder in ("/opt/ml/input", "/opt/ml/input/data", *("/opt/ml/input/data/" + name for name in channels)):
    try:
        open(folder + "/mine", "w")
    except OSError as error:
        print("cannot write to", folder, error.strerror)
with open("/opt/ml/model/model.json", "w") as file:
    json.dump({"weights": [count], "hyperparameters": hyperparameters, "channels": sorted(channels)}, file)
with open("/opt/ml/output/data/history.txt", "w") as file:
    file.write("counted")
'''

CONSTANT_CHECKPOINTER = CHECKPOINTER.replace('os.environ["SM_MODEL_DIR"]', '"/opt/ml/model"').replace(
    'os.environ["SM_CHECKPOINT_DIR"]', '"/opt/ml/checkpoints"')

NAMER = """
import os, time
absent = {"ROOST_ML_DIR", "SM_INPUT_DIR", "SM_INPUT_CONFIG_DIR"}.isdisjoint(os.environ)
there = all(os.path.isdir(os.environ[f"SM_{name}_DIR"]) for name in ("MODEL", "OUTPUT", "OUTPUT_DATA", "CHECKPOINT"))
print("folders", absent, there, flush=True)
print("I am", os.getpid(), os.getppid(), flush=True)
time.sleep(600)
"""

METRICS = [
    {"name": "train:loss", "regex": r"train_loss=([0-9\.]+);"},
    {"name": "test:accuracy", "regex": r"Test accuracy: ([0-9\.]+)"},
    {"name": "roost:fraction", "regex": r"\[(\d+)/(\d+)\]"},
]


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with RoostHost(tmp_path_factory.mktemp("scripts") / "data", {"stopGraceSeconds": 5}) as host:
        yield host


@pytest.fixture
def deploy(host, tmp_path):
    """Makes a folder of a function, its script and its manifest, and deploys it."""

    def make(name, script, handler="train.py", check=True, **training):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "inference.py").write_text(INFER)
        if script is not None:
            (folder / "train.py").write_text(script)
        (folder / "function.json").write_text(json.dumps({
            "name": name, "runtime": "python3", "handler": "inference.handler",
            "training": {"handler": handler, "timeout": 60, **training}}))
        return host.roost("deploy", folder, check=check)

    return make


def roost(host, *arguments):
    """A client verb, whatever comes of it."""
    from roost_host import BINARY

    return subprocess.run([BINARY, *map(str, arguments), "--endpoint", host.endpoint], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120)


def points(folder):
    """A channel whose label says on which side of a line its points are; two files, so that order matters."""
    folder.mkdir()
    rows = [(int(x + 2 * y > 0), x, y) for x in range(-4, 5) for y in range(-4, 5) if x + 2 * y]
    for name, part in (("a.csv", rows[::2]), ("b.csv", rows[1::2])):
        (folder / name).write_text("".join(f"{label},{x},{y}\n" for label, x, y in part))
    return folder


def run_alone(script, folder, channel, arguments):
    """The model that the same file makes by itself, with nothing of ours around it."""
    for name in ("model", "results"):
        (folder / name).mkdir()
    path = folder / "alone.py"
    path.write_text(script)
    subprocess.run(["/usr/bin/python3", path, *arguments], check=True, capture_output=True, env={
        "SM_MODEL_DIR": str(folder / "model"), "SM_OUTPUT_DATA_DIR": str(folder / "results"),
        "SM_CHANNEL_TRAIN": str(channel), "SM_CHANNEL_TEST": str(channel), "SM_HOSTS": '["algo-1"]',
        "SM_CURRENT_HOST": "algo-1", "SM_NUM_GPUS": "0"})
    return (folder / "model" / "model.json").read_text()


def test_a_script_trains_and_publishes_what_it_wrote(host, deploy, tmp_path):
    assert "roost" not in SCRIPT.lower()
    deploy("scripted", SCRIPT, metrics=METRICS)
    channel = points(tmp_path / "points")
    hyperparameters = {"epochs": 30, "learning-rate": 0.05, "shuffle": True}
    done = roost(host, "train", "scripted", "-d", json.dumps(hyperparameters), "--channel", f"train={channel}",
                 "--channel", f"test={channel}", "--promote", "live", "--json")
    assert done.returncode == 0, done.stderr
    ended = json.loads(done.stdout.splitlines()[-1])
    assert (ended["status"], ended["version"]) == ("SUCCEEDED", "1")
    assert set(ended["metrics"]) == {"train:loss", "test:accuracy"} and ended["metrics"]["test:accuracy"] == 1
    answer = host.invoke("scripted", {"features": [1, 1]}, qualifier="live").json
    assert answer["model"] == run_alone(
        SCRIPT, tmp_path, channel, ["--epochs", "30", "--learning-rate", "0.05", "--shuffle", "True"])
    assert answer["p"] > 0.9 and answer["files"] == ["model.json", "output-data/history.json"]
    [version] = host.versions("scripted")
    assert version["Lineage"]["hyperparameters"] == hyperparameters
    assert set(version["Lineage"]["channels"]) == {"train", "test"}
    assert version["Lineage"]["metrics"] == ended["metrics"]
    reports = [event["Detail"] for event in host.events(version["Lineage"]["execution"]) if event["Kind"] == "progress"]
    losses = [report["metrics"]["train:loss"] for report in reports if "train:loss" in report["metrics"]]
    history = json.loads((tmp_path / "results" / "history.json").read_text())
    assert losses == [round(loss, 6) for loss in history], "every line that it printed"
    assert reports[14]["fraction"] == 0.5
    assert any(line[4].startswith("[30/30] train_loss=") for line in host.log("scripted-train"))


def test_a_script_that_fails_says_why_and_publishes_nothing(host, deploy):
    deploy("broken", "import sys\nprint('reading')\nraise RuntimeError('the data is empty')\n")
    done = roost(host, "train", "broken", "--json")
    assert done.returncode == 1
    assert "Runtime.ExitError: train.py exited with status 1: RuntimeError: the data is empty" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["status"] == "FAILED"
    assert host.versions("broken") == []
    log = [line[4] for line in host.log("broken-train")]
    assert "reading" in log and "RuntimeError: the data is empty" in log


def test_a_script_that_leaves_no_model_fails(host, deploy):
    deploy("leaves-nothing", "pass\n")
    done = roost(host, "train", "leaves-nothing")
    assert done.returncode == 1 and "the training left no file in ROOST_OUTPUT_DIR" in done.stderr


def test_a_syntax_error_and_a_script_that_is_not_there(host, deploy, tmp_path):
    deploy("mistyped", "def (:\n")
    done = roost(host, "train", "mistyped")
    assert done.returncode == 1 and "Runtime.UserCodeSyntaxError: Syntax error in script 'train.py'" in done.stderr
    deploy("absent", None, check=False)
    done = roost(host, "deploy", tmp_path / "absent")
    assert done.returncode != 0 and "the training's script 'train.py' is not in it" in done.stderr
    # The same by a client that does not look.
    host.create("unseen", "def handler(event, context): pass\n")
    host.create("unseen-train", "pass\n", handler="other.py", environment={"ROOST_TRAINS": "unseen"})
    execution = host.finished(host.start_execution("unseen-train", {}))
    assert execution["Error"]["ErrorType"] == "Runtime.HandlerNotFound", execution
    assert "Script 'other.py' cannot be read" in execution["Error"]["ErrorMessage"]


def test_metrics_that_cannot_be_looked_for_are_refused(host, deploy, tmp_path):
    deploy("searching", "pass\n", check=False, metrics=[{"name": "loss", "regex": "loss=([0-9"}])
    done = roost(host, "deploy", tmp_path / "searching")
    assert done.returncode == 1 and "training.metrics[0].regex 'loss=([0-9' is no regular expression" in done.stderr
    answer = host.request("POST", "/2015-03-31/functions", {
        "FunctionName": "searching-train", "Runtime": "python3", "Role": "arn:aws:iam::000000000000:role/r",
        "Handler": "train.py", "Code": {"ZipFile": host.package("pass\n")},
        "Environment": {"Variables": {"ROOST_TRAINS": "searching", "ROOST_METRICS": "loss=loss"}}})
    assert answer.status == 400 and "has no group" in answer.json["message"]


@pytest.mark.parametrize("name, script", [("paused", CHECKPOINTER), ("paused-by-path", CONSTANT_CHECKPOINTER)])
def test_a_script_is_paused_at_a_checkpoint_and_goes_on_from_it(host, deploy, name, script):
    assert ("SM_" in script) == (script is CHECKPOINTER)
    deploy(name, script)
    event = {"steps": 40, "wait-at": 7}
    identifier = host.start_execution(f"{name}-train", event)
    until(lambda: any(line[4].startswith("step 7 ") for line in host.log(f"{name}-train")), 20)
    roost(host, "executions", "pause", identifier)
    until(lambda: host.execution(identifier)["Status"] == "PAUSED", 20)
    assert any(line[4] == "saved at 7" for line in host.log(f"{name}-train"))
    assert host.versions(name) == []
    roost(host, "executions", "resume", identifier)
    execution = host.finished(identifier)
    assert execution["Status"] == "SUCCEEDED" and execution["Attempt"] == 2
    assert host.invoke(name, {"features": [0]}).json["model"] == '{"weights": [40, 7]}'
    assert host.versions(name)[0]["Lineage"]["hyperparameters"] == event


def test_a_script_that_knows_only_the_folders_of_its_container(host, deploy, tmp_path):
    assert "SM_" not in CONSTANTS and "environ" not in CONSTANTS
    deploy("constants", CONSTANTS)
    channel = points(tmp_path / "points")
    lines = sum(len(path.read_text().splitlines()) for path in channel.iterdir())
    hyperparameters = {"epochs": 3, "rate": 0.5, "name": "a b", "deep": True, "layers": [1, {"a": None}], "none": None}
    done = roost(host, "train", "constants", "-d", json.dumps(hyperparameters), "--channel", f"Train={channel}",
                 "--promote", "live")
    assert done.returncode == 0, done.stderr
    answer = host.invoke("constants", {"features": []}, qualifier="live").json
    assert answer["files"] == ["model.json", "output-data/history.txt"]
    assert json.loads(answer["model"]) == {
        "weights": [lines], "channels": ["Train"], "hyperparameters": {
            "epochs": "3", "rate": "0.5", "name": "a b", "deep": "true", "layers": '[1, {"a": null}]', "none": "null"}}
    # What is the host's cannot be written; no more can the folders around it.
    refused = [line[4] for line in host.log("constants-train") if line[4].startswith("cannot write")]
    assert [line.split(" ", 4)[3] for line in refused] == [
        "/opt/ml/input", "/opt/ml/input/data", "/opt/ml/input/data/Train"]
    assert refused[2].endswith("Read-only file system")

    # From its own model, which is one more channel.
    done = roost(host, "train", "constants", "--base", "1", "--channel", f"Train={channel}", "--promote", "live")
    assert done.returncode == 0, done.stderr
    model = json.loads(host.invoke("constants", {"features": []}, qualifier="live").json["model"])
    assert model == {"weights": [2 * lines], "channels": ["Train", "model"], "hyperparameters": {}}


def test_a_channel_called_model_takes_the_place_of_the_base(host, deploy, tmp_path):
    deploy("modelled", CONSTANTS)
    channel = points(tmp_path / "points")
    assert roost(host, "train", "modelled", "--channel", f"Train={channel}").returncode == 0
    other = tmp_path / "other"
    other.mkdir()
    (other / "model.json").write_text('{"weights": [1000000]}')
    done = roost(host, "train", "modelled", "--base", "1", "--channel", f"Train={channel}", "--channel", f"model={other}",
                 "--promote", "live")
    assert done.returncode == 0, done.stderr
    model = json.loads(host.invoke("modelled", {"features": []}, qualifier="live").json["model"])
    assert model["weights"][0] > 1000000 and model["channels"] == ["Train", "model"]


def test_a_script_says_in_the_file_failure_why_it_failed(host, deploy):
    deploy("failing", "import sys\nopen('/opt/ml/output/failure', 'w').write('no data for me')\nsys.exit(1)\n")
    execution = host.finished(host.start_execution("failing-train", {}))
    assert execution["Error"] == {
        "ErrorType": "Runtime.ExitError", "ErrorMessage": "train.py exited with status 1: no data for me"}, execution


def test_the_folders_are_there_under_a_host_that_is_not_root():
    with tempfile.TemporaryDirectory(prefix="roost-") as directory:
        os.chmod(directory, 0o755)
        with RoostHost(Path(directory) / "data", user=ordinary_user()) as host:
            host.create("ordinary", files={"inference.py": INFER}, handler="inference.handler")
            host.create("ordinary-train", files={"train.py": CONSTANTS}, handler="train.py", timeout=60,
                        environment={"ROOST_TRAINS": "ordinary"})
            channel = host.upload({"a": b"1\n2\n"})
            execution = host.finished(
                host.start_execution("ordinary-train", {"roost": {"channels": {"Train": channel}}}))
            assert execution["Status"] == "SUCCEEDED", execution
            answer = host.invoke("ordinary", {"features": []}, qualifier="1").json
            assert json.loads(answer["model"])["weights"] == [2]
            assert answer["files"] == ["model.json", "output-data/history.txt"]


def test_what_is_no_script_in_a_sandbox_has_no_such_folders(host):
    source = """
        import os

        def handler(event, context):
            found = os.path.exists("/opt/ml"), "ROOST_ML_DIR" in os.environ
            assert found == (False, False), found
            if "ROOST_OUTPUT_DIR" in os.environ:
                open(os.environ["ROOST_OUTPUT_DIR"] + "/model", "w").write("it")
            return {}
        """
    source = textwrap.dedent(source)
    host.create("unscripted", source)
    host.create("unscripted-train", source, environment={"ROOST_TRAINS": "unscripted"}, timeout=30)
    answer = host.invoke("unscripted")
    assert answer.status == 200 and answer.function_error is None, answer
    execution = host.finished(host.start_execution("unscripted-train", {}))
    assert execution["Status"] == "SUCCEEDED", execution


def test_a_script_that_is_stopped_leaves_no_process(host, deploy):
    deploy("stopped", "import time\nprint('here', flush=True)\ntime.sleep(600)\n")
    identifier = host.start_execution("stopped-train", {})
    until(lambda: any(line[4] == "here" for line in host.log("stopped-train")), 20)
    pids = host.worker_pids("stopped-train")
    assert len(pids) == 2, "the worker and the script"
    roost(host, "executions", "stop", identifier)
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), 20)
    assert host.execution(identifier)["Status"] == "STOPPED"


def test_without_a_sandbox_a_script_ends_with_its_worker():
    with tempfile.TemporaryDirectory(prefix="roost-") as directory:
        os.chmod(directory, 0o755)  # workers are another user
        with RoostHost(Path(directory) / "data", {"sandbox": "none"}) as host:
            host.create("plain", "def handler(event, context): pass\n")
            host.create("plain-train", files={"train.py": NAMER}, handler="train.py", timeout=60,
                        environment={"ROOST_TRAINS": "plain"})
            identifier = host.start_execution("plain-train", {})
            line = until(lambda: next((line[4] for line in host.log("plain-train") if line[4].startswith("I am")), None))
            assert any(line[4] == "folders True True" for line in host.log("plain-train"))
            script, worker = map(int, line.split()[2:])
            os.kill(worker, 9)
            until(lambda: start_time(script) is None, 10, "the end of the script")
            assert host.finished(identifier)["Status"] == "FAILED"
