"""Scripts as trainings: the python3 runtime runs a program as SageMaker's containers do, and answers for it."""

import json
import os
import signal
import textwrap
import time
from pathlib import Path

import pytest

from runtime_host import Worker

# Says what it was given.
TELLER = """
import json, os, sys
print(json.dumps({"arguments": sys.argv, "folder": os.getcwd(), "path": sys.path[0],
                  "environment": {k: v for k, v in os.environ.items() if k.startswith(("SM_", "PYTHON"))}}))
"""


@pytest.fixture
def train(tmp_path):
    """Starts a worker for the text of a script, hands it an event, and returns it."""
    started = []

    def start(source, event=None, name="train.py", channels=(), metrics=None, model=False, **variables):
        code = tmp_path / "code"
        code.mkdir()
        if source is not None:
            (code / name).parent.mkdir(exist_ok=True)
            (code / name).write_text(textwrap.dedent(source))
        environment = {"ROOST_TRAINS": "m", "ROOST_ATTEMPT": "1", "TMPDIR": str(tmp_path), **variables}
        for folder in ("output", "checkpoint"):
            (tmp_path / folder).mkdir()
            environment[f"ROOST_{folder.upper()}_DIR"] = str(tmp_path / folder)
        for channel in channels:
            environment[f"ROOST_CHANNEL_{channel.upper()}"] = f"/data/{channel}"
        if model:
            environment["ROOST_MODEL_DIR"] = "/opt/model"
        if metrics is not None:
            environment["ROOST_METRICS"] = "\n".join(f"{name}={regex}" for name, regex in metrics.items())
        it = Worker(code, handler=name, environment=environment)
        it.output = tmp_path / "output"
        started.append(it)
        if event is not None:
            it.slot.expect_next()
            it.slot.send(it.slot.event_bytes(event))
        return it

    yield start
    for it in started:
        it.close()


def ended(it):
    """(kind, answer, reports, standard output, standard error)."""
    reports = []
    while (request := it.slot.request()).path.endswith("/progress"):
        reports.append(request.json)
        it.slot.send(it.slot.ACCEPTED)
    kind = request.path.rsplit("/", 1)[1]
    it.slot.expect_next()
    code, out, err = it.finish()
    assert code == 0
    return kind, request.json, reports, out, err


def test_a_script_is_given_arguments_and_environment_as_in_script_mode(train):
    event = {"epochs": 3, "lr": 0.1, "n": "x y", "verbose": True, "layers": [1, 2], "table": {"a": "b"}, "none": None,
             "roost": {"channels": {"Train": "sha256:0", "test": "sha256:1"}}}
    it = train(TELLER, event, channels=["train", "test"], model=True)
    kind, answer, reports, out, _ = ended(it)
    assert (kind, answer, reports) == ("response", {"metrics": {}}, [])
    told = json.loads(out)
    arguments = ["--epochs", "3", "--layers", "[1, 2]", "--lr", "0.1", "-n", "x y", "--none", "", "--table",
                 '{"a": "b"}', "--verbose", "True"]
    assert told["arguments"] == ["train.py", *arguments]
    assert told["folder"] == told["path"]
    environment = told["environment"]
    assert environment["SM_MODEL_DIR"] == str(it.output)
    assert environment["SM_CHECKPOINT_DIR"].endswith("/checkpoint")
    assert os.path.dirname(environment["SM_OUTPUT_DATA_DIR"]) == environment["SM_OUTPUT_DIR"]
    assert environment["SM_CHANNEL_TRAIN"] == "/data/train" and environment["SM_CHANNEL_TEST"] == "/data/test"
    assert environment["SM_CHANNEL_MODEL"] == "/opt/model"
    assert json.loads(environment["SM_CHANNELS"]) == ["Train", "model", "test"]
    assert set(json.loads(environment["SM_INPUT_DATA_CONFIG"])) == {"Train", "model", "test"}
    hyperparameters = {key: value for key, value in event.items() if key != "roost"}
    assert json.loads(environment["SM_HPS"]) == hyperparameters
    assert json.loads(environment["SM_USER_ARGS"]) == arguments
    assert (environment["SM_HP_LR"], environment["SM_HP_N"], environment["SM_HP_VERBOSE"], environment["SM_HP_TABLE"],
            environment["SM_HP_NONE"]) == ("0.1", "x y", "true", '{"a":"b"}', "")
    assert environment["SM_CURRENT_HOST"] == "algo-1" and json.loads(environment["SM_HOSTS"]) == ["algo-1"]
    assert environment["SM_MODULE_NAME"] == "train" and int(environment["SM_NUM_CPUS"]) >= 1
    assert int(environment["SM_NUM_GPUS"]) >= 0
    described = json.loads(environment["SM_TRAINING_ENV"])
    assert described["hyperparameters"] == hyperparameters and described["channel_input_dirs"]["Train"] == "/data/train"


def test_in_a_sandbox_the_folders_are_those_of_a_container(train, tmp_path):
    ml = tmp_path / "ml"
    for folder in ("input/data/Train", "input/data/model", "input/config", "output/data", "model", "checkpoints"):
        (ml / folder).mkdir(parents=True)
    (ml / "output" / "data" / "curve").write_text("c")
    (ml / "model" / "weights").write_text("w")
    event = {"lr": 0.1, "n": "x y", "deep": False, "none": None, "roost": {"channels": {"Train": "sha256:0"}}}
    it = train(TELLER, event, ROOST_ML_DIR=str(ml))
    kind, _, _, out, err = ended(it)
    assert kind == "response", err
    environment = json.loads(out)["environment"]
    assert {name: path[len(str(ml)):] for name, path in environment.items() if path.startswith(str(ml))} == {
        "SM_MODEL_DIR": "/model", "SM_CHECKPOINT_DIR": "/checkpoints", "SM_OUTPUT_DIR": "/output",
        "SM_OUTPUT_DATA_DIR": "/output/data", "SM_INPUT_DIR": "/input", "SM_INPUT_CONFIG_DIR": "/input/config",
        "SM_CHANNEL_TRAIN": "/input/data/Train", "SM_CHANNEL_MODEL": "/input/data/model"}
    described = json.loads(environment["SM_TRAINING_ENV"])
    assert (described["input_dir"], described["input_config_dir"]) == (str(ml / "input"), str(ml / "input" / "config"))
    read = {path.name: json.loads(path.read_text()) for path in (ml / "input" / "config").iterdir()}
    assert read == {
        "hyperparameters.json": {"lr": "0.1", "n": "x y", "deep": "false", "none": "null"},
        "inputdataconfig.json": json.loads(environment["SM_INPUT_DATA_CONFIG"]),
        "resourceconfig.json": {"current_host": "algo-1", "hosts": ["algo-1"]}}
    assert set(read["inputdataconfig.json"]) == {"Train", "model"}
    assert (ml / "model" / "output-data" / "curve").read_text() == "c"


def test_a_channel_called_model_hides_the_base(train):
    it = train(TELLER, {}, channels=["model"], model=True)
    assert json.loads(ended(it)[3])["environment"]["SM_CHANNEL_MODEL"] == "/data/model"


def test_a_script_in_a_folder_finds_its_neighbours_and_the_package(train, tmp_path):
    it = train("import json, sys\nimport beside, above\nprint(sys.argv[0])\n", name="src/train.py")
    (tmp_path / "code" / "src" / "beside.py").write_text("")
    (tmp_path / "code" / "above.py").write_text("")
    it.slot.expect_next()
    it.slot.send(it.slot.event_bytes({}))
    kind, _, _, out, err = ended(it)
    assert (kind, out) == ("response", "src/train.py\n"), err


def test_what_it_prints_becomes_metrics(train):
    it = train("""
        import sys
        print("epoch 1 loss=0.50 acc=0.1")
        print("nothing", "loss=nothing", "loss=inf")
        sys.stderr.write("1/4 loss=0.4\\rloss=0.3\\r")
        sys.stderr.flush()
        sys.stdout.write("at the end acc=0.9")
    """, {}, metrics={"train:loss": r"loss=([\w.]+)", "acc": "acc=([0-9.]+)", "roost:fraction": r"(\d+)/(\d+)"})
    kind, answer, reports, out, err = ended(it)
    assert kind == "response"
    assert answer == {"metrics": {"train:loss": 0.3, "acc": 0.9}}
    reports.sort(key=json.dumps)  # nothing orders the two streams
    assert reports == [{"fraction": 0.25, "metrics": {"train:loss": 0.4}}, {"metrics": {"acc": 0.9}},
                       {"metrics": {"train:loss": 0.3}}, {"metrics": {"train:loss": 0.5, "acc": 0.1}}]
    assert out.endswith("at the end acc=0.9") and "1/4" in err


def test_a_flood_of_metrics_is_thinned_out_and_its_end_is_kept(train):
    it = train("""
        for step in range(1, 4001):
            print(f"loss={step}")
        print("acc=1")
    """, {}, metrics={"loss": r"loss=(\d+)", "acc": r"acc=(\d+)"})
    begin = time.monotonic()
    kind, answer, reports, *_ = ended(it)
    assert (kind, answer) == ("response", {"metrics": {"loss": 4000.0, "acc": 1.0}})
    assert len(reports) <= 32 * ((time.monotonic() - begin) / 0.25 + 2) + 1 < 4000
    losses = [report["metrics"]["loss"] for report in reports if "loss" in report["metrics"]]
    assert losses == sorted(losses) and losses[0] == 1 and losses[-1] == 4000
    assert reports[-1]["metrics"]["acc"] == 1


def test_a_script_that_fails_is_an_error_with_the_end_of_what_it_complained(train):
    it = train("import sys\nprint('so far so good')\nraise ValueError('bad data')\n", {})
    kind, answer, _, out, err = ended(it)
    assert kind == "error" and answer["errorType"] == "Runtime.ExitError"
    assert answer["errorMessage"] == "train.py exited with status 1: ValueError: bad data"
    assert answer["stackTrace"][-1] == "ValueError: bad data\n" and len(answer["stackTrace"]) <= 20
    assert out == "so far so good\n" and "Traceback" in err


def test_the_failure_file_says_why(train):
    it = train("""
        import os, sys
        with open(os.environ["SM_OUTPUT_DIR"] + "/failure", "w") as file:
            file.write("no rows\\n")
        sys.exit(7)
    """, {})
    assert ended(it)[1]["errorMessage"] == "train.py exited with status 7: no rows"


def test_a_script_that_is_killed_is_an_error(train):
    it = train("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", {})
    assert ended(it)[1]["errorMessage"] == "train.py was ended by SIGKILL"


@pytest.mark.parametrize("source, name, kind, word", [
    (None, "train.py", "Runtime.HandlerNotFound", "cannot be read from the package: No such file"),
    ("def (:\n", "train.py", "Runtime.UserCodeSyntaxError", "Syntax error in script 'train.py'"),
    (None, "../train.py", "Runtime.MalformedHandlerName", "a script is a file of the package"),
])
def test_what_cannot_be_a_script_fails_the_init(train, source, name, kind, word):
    it = train(source, name=name)
    request = it.slot.request()
    assert request.path == "/2018-06-01/runtime/init/error"
    assert request.json["errorType"] == kind and word in request.json["errorMessage"]
    it.slot.send(it.slot.ACCEPTED)
    assert it.finish(hang_up=False)[0] == 1


def test_a_regular_expression_that_python_does_not_take_fails_the_init(train):
    it = train("", metrics={"loss": "(?<a>x)"})
    request = it.slot.request()
    assert request.json["errorType"] == "Runtime.InvalidMetric" and "'loss'" in request.json["errorMessage"]


@pytest.mark.parametrize("event", [{"long": "x" * 200_000}, {"": 1}, {"nul": "a\0b"}, {"a=b": 1}])
def test_hyperparameters_that_no_command_line_can_hold_are_an_error(train, event):
    it = train("", event)
    kind, answer, *_ = ended(it)
    assert (kind, answer["errorType"]) == ("error", "Runtime.InvalidHyperparameters"), answer


def test_other_results_go_with_the_model(train, tmp_path):
    it = train("""
        import os, pathlib
        pathlib.Path(os.environ["SM_MODEL_DIR"], "model").write_text("m")
        assert os.listdir(os.environ["SM_MODEL_DIR"]) == ["model"]
        pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "curve").write_text("c")
    """, {})
    assert ended(it)[0] == "response"
    assert (it.output / "output-data" / "curve").read_text() == "c"
    assert not list(tmp_path.glob("output-*")), "the folder for it is gone"


def test_without_a_model_there_is_no_output(train):
    it = train("""
        import os, pathlib
        pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "curve").write_text("c")
    """, {})
    assert ended(it)[0] == "response"
    assert list(it.output.iterdir()) == []


def test_sigterm_goes_to_the_script_and_there_is_no_outcome(train, tmp_path):
    it = train("""
        import os, pathlib, signal, sys, time
        def told(*_):
            pathlib.Path(os.environ["SM_CHECKPOINT_DIR"], "state").write_text("saved")
            sys.exit(0)
        signal.signal(signal.SIGTERM, told)
        print("loss=1", flush=True)
        time.sleep(60)
    """, {}, metrics={"loss": "loss=([0-9.]+)"})
    assert it.slot.request().json == {"metrics": {"loss": 1.0}}
    it.process.send_signal(signal.SIGTERM)
    assert it.process.wait(10) == 0
    assert (tmp_path / "checkpoint" / "state").read_text() == "saved"
    assert it.slot.connection.recv(1000) == b"", "neither an outcome nor a next"


def test_sigterm_before_the_event_ends_the_worker(train):
    it = train("")
    it.slot.expect_next()
    it.process.send_signal(signal.SIGTERM)
    assert it.process.wait(10) == 0


def test_sigterm_after_the_outcome_ends_the_worker(train):
    it = train("", {})
    assert it.slot.outcome()[0] == "response"
    it.slot.expect_next()
    it.process.send_signal(signal.SIGTERM)
    assert it.process.wait(10) == 0


def test_what_a_script_leaves_running_does_not_keep_it(train, tmp_path):
    it = train(f"""
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
        # This one leaves the group, with the script's output open.
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3)"], start_new_session=True)
        print("done")
    """, {})
    assert ended(it)[3] == "done\n"
    stat = Path("/proc", (tmp_path / "pid").read_text(), "stat")

    def is_dead():  # perhaps nobody has asked for its status yet
        try:
            return stat.read_text().rsplit(")", 1)[1].split()[0] in "ZX"
        except (FileNotFoundError, ProcessLookupError):
            return True

    end = time.monotonic() + 10
    while not is_dead():
        assert time.monotonic() < end
        time.sleep(0.01)
