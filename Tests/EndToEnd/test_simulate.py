"""roost simulate: traces in, figures out; no host is needed."""

import json
import os
import subprocess

import pytest

from conftest import BINARY

HEADER = "function,arrival_seconds,duration_seconds,memory_mb,cold_start_seconds\n"
# Two calls ten seconds apart, ready after 2 s, done after 1 s.
TWO_CALLS = HEADER + "a,0,1,1024,2\na,10,1,1024,2\n"


def simulate(*arguments, check=0, input=None):
    done = subprocess.run(
        [BINARY, "simulate", *map(str, arguments)], input=input, capture_output=True, timeout=120,
        env={**os.environ, "ROOST_ENDPOINT": "http://127.0.0.1:9"})
    assert done.returncode == check, done.stderr.decode()
    assert check == 0 or done.stdout == b""
    return done


def figures(trace, *arguments):
    """What is counted for a text, without what the clock on the wall says."""
    answer = json.loads(simulate("--trace", "-", "--json", *arguments, input=trace.encode()).stdout)
    clock = answer.pop("WallClock")
    assert set(clock) == {"ReadSeconds", "SimulateSeconds", "EventsPerSecond"}
    assert clock["EventsPerSecond"] > 0
    return answer


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text(TWO_CALLS)
    return path


def test_json_of_two_calls():
    answer = figures(TWO_CALLS, "--policy", "fixed:5")
    assert answer["Settings"] == {
        "ScaleUp": "aware", "KeepAliveSeconds": 5, "MemoryMegabytes": None, "Workers": 256, "Concurrency": 1, "Faults": 0, "Seed": None}
    assert (answer["Functions"], answer["Invocations"], answer["Finished"], answer["Failed"]) == (1, 2, 2, 0)
    assert answer["Refused"] == {"Count": 0, "Reasons": dict.fromkeys(
        ["QueueFull", "WaitedTooLong", "WouldWaitTooLong", "InitFailed", "InitBackoff", "NeverFits"], 0)}
    assert answer["ColdStarts"] == {"Count": 2, "Share": 1, "Causes": {
        "First": 1, "ScaleUp": 0, "KeepAlivePassed": 1, "Evicted": 0, "Yielded": 0, "Redeploy": 0,
        "Crashed": 0, "Provisioned": 0, "Prewarmed": 0}}
    assert answer["WorkersStarted"]["Count"] == 2
    assert answer["WaitSeconds"] == {"P50": 2, "P99": 2, "Max": 2}
    assert answer["WorkerHours"]["Idle"] == pytest.approx(10 / 3600)
    assert answer["GigabyteHours"] == pytest.approx({"Starting": 4 / 3600, "Idle": 10 / 3600, "Busy": 2 / 3600})
    assert (answer["PeakMemoryMegabytes"], answer["PeakWorkers"], answer["SpanSeconds"]) == (1024, 1, 13)


def test_policies_and_budgets():
    assert figures(TWO_CALLS)["ColdStarts"]["Count"] == 1
    assert figures(TWO_CALLS, "--policy", "fixed:0.5")["ColdStarts"]["Count"] == 2
    assert figures(TWO_CALLS, "--policy", "none")["WorkerHours"]["Idle"] == 0
    assert figures(TWO_CALLS, "--memory-mb", 1024)["Settings"]["MemoryMegabytes"] == 1024
    assert figures(TWO_CALLS, "--memory-mb", 0)["Refused"]["Count"] == 0
    assert figures(TWO_CALLS, "--memory-mb", 1000)["Refused"]["Reasons"]["NeverFits"] == 2
    burst = HEADER + "a,0,10,128,1\n" * 3
    assert figures(burst)["WorkersStarted"]["Count"] == 3
    assert figures(burst, "--concurrency", 4)["WorkersStarted"]["Count"] == 1
    assert figures(burst, "--workers", 1)["PeakWorkers"] == 1
    assert figures(burst, "--faults", 1)["InitFailures"] == 1


def test_rules_for_more_workers():
    # The first has taught how long a start takes; the other three could be served by one worker, one after the other.
    burst = HEADER + "a,0,0.1,128,3\n" + "a,10,0.1,128,3\n" * 3
    assert figures(burst, "--scale-up", "aware") == figures(burst)
    assert figures(burst)["WorkersStarted"]["Count"] == 1
    lambda_ = figures(burst, "--scale-up", "lambda")
    assert lambda_["Settings"]["ScaleUp"] == "lambda" and lambda_["WorkersStarted"]["Count"] == 3
    knative = figures(TWO_CALLS, "--scale-up", "kpa")
    assert (knative["Settings"]["ScaleUp"], knative["Settings"]["KeepAliveSeconds"]) == ("kpa", None)
    # Two for the first call, because 1 is more than 70 % of 1; down to one and none only after the stable window.
    assert (knative["WorkersStarted"]["Count"], knative["ColdStarts"]["Count"]) == (2, 1)
    assert knative["WorkerHours"]["Idle"] > 100 / 3600


def test_text_for_people(trace):
    text = simulate("--trace", trace, "--policy", "fixed:5").stdout.decode()
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    assert "of 1 function in 13.0 s" in lines["invocations"]
    assert "100.00 %: first 1, keep-alive passed 1" in lines["cold starts"]
    assert "events" in lines["simulated in"]


def test_made_up_traces_are_the_same_for_the_same_seed(tmp_path):
    options = ["--synthesize", "--functions", 20, "--hours", 3]
    printed = simulate(*options, "--seed", 7).stdout
    assert printed.startswith(HEADER.encode())
    path = tmp_path / "made.csv"
    assert simulate(*options, "--seed", 7, "--output", path).stdout == b""
    assert path.read_bytes() == printed
    assert simulate(*options, "--seed", 8).stdout != printed
    assert simulate(*options).stdout == simulate(*options, "--seed", 1).stdout

    faulty = ["--policy", "fixed:60", "--memory-mb", 2000, "--faults", 0.05]
    first = figures(printed.decode(), *faulty, "--seed", 3)
    assert first == figures(printed.decode(), *faulty, "--seed", 3)
    assert first != figures(printed.decode(), *faulty, "--seed", 4)
    assert first["Invocations"] == printed.count(b"\n") - 1
    assert first["Finished"] + first["Failed"] + first["Refused"]["Count"] == first["Invocations"]
    assert first["PeakMemoryMegabytes"] <= 2000
    assert first["Crashes"] > 0 and first["InitFailures"] > 0


def test_a_pipe_from_one_to_the_other_and_a_reader_that_leaves():
    command = '"$0" simulate --synthesize --functions 30 --hours 2 | "$0" simulate --trace - --json'
    answer = json.loads(subprocess.run(["bash", "-c", command, BINARY], check=True, capture_output=True).stdout)
    assert answer["Invocations"] == answer["Finished"] > 0
    command = '"$0" simulate --synthesize --functions 1000 --hours 8000 --seed 2 | head -2'
    refused = subprocess.run(["bash", "-c", command, BINARY], capture_output=True, timeout=60)
    assert b"a trace has at most 50000000" in refused.stderr
    command = '"$0" simulate --synthesize --functions 1000 --hours 200 --seed 2 | head -2'
    left = subprocess.run(["bash", "-c", command, BINARY], capture_output=True, timeout=60)
    assert len(left.stdout.splitlines()) == 2 and left.stderr == b""


@pytest.mark.parametrize("text, message", [
    (b"", "there is nothing in it"),
    (HEADER.encode(), "there is a header and no invocation"),
    (b"function,arrival\n", "line 1: there is no column 'arrival'"),
    (HEADER.replace(",memory_mb", "").encode(), "line 1: the header lacks memory_mb"),
    ((HEADER + "a,0,1,128\n").encode(), "line 2: 4 fields where the header has 5"),
    ((TWO_CALLS + "a,0,nan,128,1\n").encode(), "line 4: duration_seconds is 'nan', which is no number"),
    ((TWO_CALLS + "a,-3,1,128,1\n").encode(), "line 4: arrival_seconds is '-3'; it cannot be negative"),
    (HEADER.encode() + b"\xff,0,1,128,1\n", "line 2: the function's name is not UTF-8"),
    (HEADER.encode() + b"a,0,1,128,\x1b[31m\n", "line 2: cold_start_seconds is ' [31m', which is no number"),
    (b"\0" * 100_000, "line 1: the line has more than 4096 bytes"),
])
def test_bad_traces(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_bytes(text)
    error = simulate("--trace", path, check=1).stderr.decode()
    assert error.startswith(f"roost: {path}: ") and message in error
    assert error.isprintable() or error.count("\n") == 1 and error.strip().isprintable()
    assert message in simulate("--trace", "-", check=1, input=text).stderr.decode()


def test_files_that_are_not_there(tmp_path):
    assert "No such file" in simulate("--trace", tmp_path / "none", check=1).stderr.decode()
    assert "directory" in simulate("--trace", tmp_path, check=1).stderr.decode()
    made = ["--synthesize", "--functions", 1, "--hours", 1]
    assert "No such file" in simulate(*made, "--output", tmp_path / "no/where", check=1).stderr.decode()
    assert "No space" in simulate(*made, "--output", "/dev/full", check=1).stderr.decode()


@pytest.mark.parametrize("arguments, message", [
    ([], "either --trace FILE or --synthesize"),
    (["--trace", "-", "--synthesize"], "either --trace FILE or --synthesize"),
    (["--trace", "-", "--policy", "learnt"], "--policy is"),
    (["--trace", "-", "--policy", "fixed:"], "--policy is"),
    (["--trace", "-", "--policy", "fixed:-1"], "--policy is"),
    (["--trace", "-", "--policy", "fixed:nan"], "--policy is"),
    (["--trace", "-", "--policy", "fixed:86401"], "--policy is"),
    (["--trace", "-", "--memory-mb", "-1"], "--memory-mb"),
    (["--trace", "-", "--concurrency", "0"], "--concurrency is a number from 1 to 64"),
    (["--trace", "-", "--concurrency", "65"], "--concurrency is a number from 1 to 64"),
    (["--trace", "-", "--workers", "0"], "--workers is a number from 1 to 100000"),
    (["--trace", "-", "--workers", "4000", "--concurrency", "64"], "--workers is a number from 1 to 3906"),
    (["--trace", "-", "--faults", "1.5"], "--faults is a number from 0 to 1"),
    (["--trace", "-", "--faults", "nan"], "--faults is a number from 0 to 1"),
    (["--trace", "-", "--seed", "1"], "--seed needs --faults or --synthesize"),
    (["--trace", "-", "--hours", "1"], "--hours is for --synthesize"),
    (["--synthesize", "--functions", "2"], "--synthesize needs --functions and --hours"),
    (["--synthesize", "--functions", "0", "--hours", "1"], "--functions is a number from 1 to 100000"),
    (["--synthesize", "--functions", "1", "--hours", "0"], "--hours is above 0"),
    (["--synthesize", "--functions", "1", "--hours", "nan"], "--hours is above 0"),
    (["--synthesize", "--functions", "1", "--hours", "1", "--json"], "--json is for --trace"),
    (["--synthesize", "--functions", "1", "--hours", "1", "--policy", "none"], "--policy is for --trace"),
    (["--synthesize", "--functions", "1", "--hours", "1", "--seed", "-1"], "--seed"),
    (["--trace", "-", "--scale-up", "knative"], "--scale-up is 'aware', 'lambda' or 'kpa'"),
    (["--trace", "-", "--scale-up", "kpa", "--policy", "learned"], "--scale-up kpa decides itself how long"),
    (["--synthesize", "--functions", "1", "--hours", "1", "--scale-up", "aware"], "--scale-up is for --trace"),
])
def test_wrong_usage(arguments, message):
    assert message in simulate(*arguments, check=2, input=TWO_CALLS.encode()).stderr.decode()
