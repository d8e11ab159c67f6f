"""roost simulate: traces in, figures out; no host is needed, but for the history of one."""

import csv
import json
import os
import subprocess
import time

import pytest

from conftest import BINARY, ECHO, ROLE, make_zip, wait_until

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


def test_what_a_host_has_run(make_host):
    host = make_host(config={"memoryMegabytes": 1000})
    empty = host.roost("simulate", "--from-history", check=1)
    assert "nothing has run on this host" in empty.stderr

    client = host.client()
    client.create_function(
        FunctionName="echo", Runtime="python3.11", Handler="index.handler", Role=ROLE, MemorySize=200,
        Code={"ZipFile": make_zip({"index.py": ECHO})})
    for _ in range(7):
        client.invoke(FunctionName="echo", Payload=b"{}")
    client.invoke(FunctionName="echo", Payload=b"{}", InvocationType="Event")
    trace = wait_until(lambda: history(host, 8), "eight invocations")
    assert {row["function"] for row in trace} == {"echo:$LATEST"} and {row["memory_mb"] for row in trace} == {"200"}
    assert all(0 < float(row["duration_seconds"]) < 5 for row in trace)
    assert all(abs(float(row["arrival_seconds"]) - time.time()) < 60 for row in trace)
    # A worker was started once, and that took time.
    assert 0.001 < float(trace[-1]["cold_start_seconds"]) < 10

    answer = json.loads(host.roost("simulate", "--from-history", "--json", check=0).stdout)
    assert (answer["Invocations"], answer["Functions"]) == (8, 1)
    rows = answer["Replays"]
    assert [row["MemoryMegabytes"] for row in rows[::5]] == [500, 1000, 2000, None]
    assert [row["Policy"] for row in rows[:5]] == ["learned", "fixed:60", "fixed:300", "fixed:1200", "none"]
    assert [i for i, row in enumerate(rows) if row["Current"]] == [5]
    assert all(row["ColdStarts"]["Count"] >= 1 and row["Refused"] == 0 for row in rows)
    assert rows[0]["ColdStarts"]["Count"] < rows[4]["ColdStarts"]["Count"]
    assert rows[4]["IdleGigabyteHours"] == 0 < rows[1]["IdleGigabyteHours"]
    table = host.roost("simulate", "--from-history", "--policy", "none", "--memory-mb", 100, "--memory-mb", 0, check=0).stdout
    lines = table.splitlines()
    assert len(lines) == 4 and lines[0].startswith("8 invocations of 1 version in ")
    assert lines[2].split()[:3] == ["100", "none", "0"] and lines[2].split()[-2] == "8"  # refused: it never fits
    assert lines[3].startswith("unlimited  none")

    # Ordered or not, an end of the host takes nothing, and half a line counts as none.
    host.kill()
    with open(host.data / "history" / "recent", "a") as file:
        file.write("echo:$LATEST,17640")
    host.start()
    assert len(history(host)) == 8
    host.client().invoke(FunctionName="echo", Payload=b"{}")
    host.stop()
    host.start()
    assert len(history(host)) == 9


def test_a_long_history(make_host):
    host = make_host()
    host.stop()
    (host.data / "history").mkdir(exist_ok=True)
    now = time.time()
    line = "f:1,{:.6f},0.010000,128,0.500000\n".format
    (host.data / "history" / "recent.1").write_text(
        line(now - 40 * 86400) + "".join(line(now - 3600 + i / 100) for i in range(200_000)) + line(now + 1e6))
    host.start()
    host.client().create_function(
        FunctionName="echo", Runtime="python3.11", Handler="index.handler", Role=ROLE,
        Code={"ZipFile": make_zip({"index.py": ECHO})})
    host.client().invoke(FunctionName="echo", Payload=b"{}")
    answer = json.loads(host.roost("simulate", "--from-history", "--policy", "fixed:60", "--json", check=0).stdout)
    assert (answer["Invocations"], answer["Functions"]) == (200_001, 2)


def history(host, count=0):
    """What the host remembers, as rows of its trace; false while they are less than `count`."""
    answer = host.request("GET", "/roost/v1/history")
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(answer.body.decode().splitlines()))
    return len(rows) >= count and rows


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
    ([], "one of --trace FILE, --from-history and --synthesize"),
    (["--trace", "-", "--synthesize"], "one of --trace FILE, --from-history and --synthesize"),
    (["--trace", "-", "--policy", "learnt"], "--policy is"),
    (["--trace", "-", "--policy", "fixed:"], "--policy is"),
    (["--trace", "-", "--policy", "fixed:-1"], "--policy is"),
    (["--trace", "-", "--policy", "fixed:nan"], "--policy is"),
    (["--trace", "-", "--policy", "fixed:86401"], "--policy is"),
    (["--trace", "-", "--memory-mb", "-1"], "--memory-mb"),
    (["--trace", "-", "--concurrency", "0"], "--concurrency is a number from 1 to 64"),
    (["--trace", "-", "--concurrency", "65"], "--concurrency is a number from 1 to 64"),
    (["--trace", "-", "--starts-in-flight", "0"], "--starts-in-flight is a number from 1 to 1000"),
    (["--trace", "-", "--workers", "0"], "--workers is a number from 1 to 100000"),
    (["--trace", "-", "--workers", "4000", "--concurrency", "64"], "--workers is a number from 1 to 3906"),
    (["--trace", "-", "--faults", "1.5"], "--faults is a number from 0 to 1"),
    (["--trace", "-", "--faults", "nan"], "--faults is a number from 0 to 1"),
    (["--trace", "-", "--seed", "1"], "--seed needs --faults or --synthesize"),
    (["--trace", "-", "--hours", "1"], "--hours is for --synthesize"),
    (["--trace", "-", "--endpoint", "http://127.0.0.1:9"], "--endpoint is for --from-history"),
    (["--trace", "-", "--policy", "none", "--policy", "learned"], "--policy may be repeated with --from-history only"),
    (["--from-history", "--trace", "-"], "one of --trace FILE"),
    (["--from-history", "--policy", "none", "--policy", "learnt"], "--policy is"),
    (["--from-history", "--scale-up", "lambda"], "--scale-up is for --trace"),
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
