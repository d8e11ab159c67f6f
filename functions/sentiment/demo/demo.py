#!/usr/bin/python3
"""The main job of Roost on real data, step by step: deploy a model, train it, let it sleep, wake it, update it, roll it back.

Starts a host of its own on a free port with a temporary data directory, and stops it at the end. Every step says what it
does, how long that took, and checks what it claims; the exit status is 0 only if all of them hold. Standard library only.

    demo.py [--roost PATH]
"""

import argparse
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import datasets  # noqa: E402

ROOT = datasets.ROOT
FUNCTION = "sentiment"
KEEP_ALIVE_SECONDS = 2
# Held-out accuracy that each version must reach: what a linear model reaches on as much data, less a little.
ACCURACY_MIN = {"1": 0.70, "2": 0.79}
BATCH = 500


class Failed(Exception):
    """A step did not do what it claims."""


def check(holds, message):
    if not holds:
        raise Failed(message)


class Story:
    """Numbers the steps and times them."""

    def __init__(self):
        self.start = time.monotonic()
        self.count = 0

    def step(self, title):
        self.count += 1
        print(f"\n{self.count:2}. {title}", flush=True)
        return Timed()

    @staticmethod
    def say(text):
        for line in text.splitlines():
            print(f"    {line}", flush=True)


class Timed:
    def __init__(self):
        self.start = time.monotonic()

    def __str__(self):
        return f"{time.monotonic() - self.start:.2f} s"


class Host:
    """`roost serve` on a free port, and the ways to talk to it."""

    def __init__(self, roost, directory):
        self.roost = roost
        self.log = directory / "host.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [roost, "serve", "--listen", "127.0.0.1:0", "--data-dir", directory / "data"], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline()  # ends when the host does, so it needs no limit of its own
        ready = re.fullmatch(r"roost: listening on http://(127\.0\.0\.1):(\d+)\n", line)
        if not ready:
            self.kill()
            raise Failed(f"the host did not start; it said {line!r}")
        self.address = ready[1], int(ready[2])
        self.endpoint = line.split()[-1]
        self.connection = http.client.HTTPConnection(*self.address, timeout=60)

    def command(self, *arguments, json_answer=False, shown=False):
        """Runs a verb of the command line. Its output, or with `json_answer` the last line of it read as JSON."""
        command = [self.roost, *map(str, arguments), "--endpoint", self.endpoint, *(["--json"] if json_answer else [])]
        if shown:
            Story.say(f"$ roost {shlex.join(shown_path(a) for a in arguments)}")
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=None if shown else subprocess.PIPE, text=True,
            timeout=280)
        message = (done.stderr or "").strip()
        check(done.returncode == 0, f"'roost {' '.join(map(str, arguments))}' ended with {done.returncode}. {message}")
        return json.loads(done.stdout.strip().splitlines()[-1]) if json_answer else done.stdout.rstrip("\n")

    def request(self, method, path, body=None):
        self.connection.request(method, path, None if body is None else json.dumps(body).encode())
        response = self.connection.getresponse()
        content = response.read()
        check(response.status in (200, 201, 202), f"{method} {path} was answered {response.status}: {content[:300]!r}")
        return response, json.loads(content)

    def invoke(self, qualifier, event):
        """(answer, version, timing in ms, seconds as the client sees them) of a synchronous invocation."""
        start = time.monotonic()
        response, answer = self.request(
            "POST", f"/2015-03-31/functions/{FUNCTION}/invocations?Qualifier={qualifier}", event)
        seconds = time.monotonic() - start
        check(response.headers["X-Amz-Function-Error"] is None, f"the function failed: {answer}")
        timing = {k: float(v) for k, v in (part.split("=") for part in response.headers["Roost-Timing"].split(";"))}
        return answer, response.headers["X-Amz-Executed-Version"], timing, seconds

    def workers(self):
        """Process ids of the function's workers, as `roost ps` tells them."""
        pools = self.command("ps", json_answer=True)["Pools"]
        return [w["ProcessId"] for p in pools if p["FunctionName"] == FUNCTION for w in p["Workers"]]

    def descendants(self):
        """What the process table has below the host: {process id: name}."""
        parents, names = {}, {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    text = Path(f"/proc/{entry}/stat").read_text()
                except OSError:
                    continue  # it ended while we looked
                name, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
                parents[int(entry)], names[int(entry)] = int(rest[1]), name
        below = set()
        frontier = {self.process.pid}
        while frontier:
            frontier = {p for p, parent in parents.items() if parent in frontier and p not in below}
            below |= frontier
        return {p: names[p] for p in below}

    def stop(self):
        """SIGTERM; the exit status."""
        self.connection.close()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def shown_path(argument):
    text = str(argument)
    return Path(text).name if text.startswith("/") else re.sub(r"=/.*/", "=", text)


def describe(timing, seconds):
    parts = [f"{name} {timing[name]:.1f}" for name in ("queue", "init", "run") if name in timing]
    return f"{seconds * 1000:.1f} ms ({', '.join(parts)} ms)"


def train(host, data, version):
    story = Story.say
    lines = sum(1 for _ in open(data, encoding="utf-8"))
    story(f"{lines} lines of {data.name}")
    outcome = host.command("train", FUNCTION, "--channel", f"train={data}", json_answer=True, shown=True)
    check(outcome["status"] == "SUCCEEDED", f"the training ended as {outcome['status']}")
    check(str(outcome["version"]) == version, f"the training published version {outcome['version']}, not {version}")
    execution = outcome["executionArn"].split("/")[-1]
    _, events = host.request("GET", f"/roost/v1/executions/{execution}/events?limit=1000")
    reports = [e["Detail"] for e in events["Events"] if e["Kind"] == "progress"]
    losses = [r["metrics"]["loss"] for r in reports if "loss" in (r.get("metrics") or {})]
    check(len(losses) >= 2, "the training reported its loss fewer than twice")
    check(losses[-1] < losses[0], f"the loss did not fall: {losses[0]} ... {losses[-1]}")
    return outcome


def accuracy(host, qualifier, items):
    """(share of the items that are labelled right, the version that answered, seconds)."""
    right, versions, start = 0, set(), time.monotonic()
    for first in range(0, len(items), BATCH):
        batch = items[first:first + BATCH]
        answer, version, _, _ = host.invoke(qualifier, {"texts": [text for _, text in batch]})
        check(len(answer["results"]) == len(batch), f"{len(batch)} texts got {len(answer['results'])} answers")
        right += sum(result["label"] == label for result, (label, _) in zip(answer["results"], batch))
        versions.add(version)
    check(len(versions) == 1, f"several versions answered: {versions}")
    return right / len(items), versions.pop(), time.monotonic() - start


def wait_until(holds, seconds, message):
    deadline = time.monotonic() + seconds
    while not holds():
        check(time.monotonic() < deadline, message)
        time.sleep(0.05)


def demo(roost, directory):
    story = Story()

    timed = story.step("Fetch the data: film reviews in English, rated by people (MIT licence; Hutto & Gilbert, 2014)")
    everything, held_out = datasets.prepare("movie")
    all_data = datasets.write(everything, directory / "all.tsv")
    third = datasets.write(datasets.third(everything), directory / "third.tsv")
    check((len(everything), len(held_out)) == (8458, 2095), f"the data has {len(everything)} + {len(held_out)} items")
    check(not {t for _, t in everything} & {t for _, t in held_out}, "a held-out text is also in the training data")
    story.say(f"{len(everything)} reviews to train on, {len(held_out)} held out: {timed}")

    timed = story.step("Start the host")
    host = None
    try:
        host = Host(roost, directory)
        story.say(f"{host.endpoint}, process {host.process.pid}: {timed}")
        tell(host, story, third, all_data, held_out)
    except BaseException:
        if host:
            host.kill()
        lines = (directory / "host.log").read_text(errors="replace").splitlines()[-20:]
        if lines:
            print("\nThe host's last words:\n" + "\n".join(lines), file=sys.stderr)
        raise
    print(f"\nEvery step did what it claims, in {time.monotonic() - story.start:.0f} s.")


def tell(host, story, third, all_data, held_out):
    sample = "a warm , funny and touching film that stays with you"

    timed = story.step("Deploy the function: a Swift package is built, packaged and sent")
    story.say(host.command("deploy", ROOT / "functions" / FUNCTION, shown=True))
    _, configuration = host.request("GET", f"/2015-03-31/functions/{FUNCTION}/configuration")
    variables = (configuration.get("Environment") or {}).get("Variables") or {}
    variables["ROOST_KEEP_ALIVE"] = str(KEEP_ALIVE_SECONDS)
    host.request("PUT", f"/2015-03-31/functions/{FUNCTION}/configuration", {"Environment": {"Variables": variables}})
    story.say(f"deployed, and told to sleep after {KEEP_ALIVE_SECONDS} s without a call: {timed}")

    timed = story.step("Train version 1 on a third of the data")
    outcome = train(host, third, "1")
    story.say(f"version 1, validation accuracy {outcome['metrics'].get('validation_accuracy', float('nan')):.3f}: {timed}")

    timed = story.step("Name version 1 'live'")
    story.say(host.command("alias", "set", FUNCTION, "live", "1", shown=True))
    story.say(f"done: {timed}")

    story.step("Call it: the first call starts a worker, the second finds it there")
    check(host.workers() == [], "a worker was there before the first call")
    answer, version, cold, cold_seconds = host.invoke("live", {"text": sample})
    check(version == "1", f"version {version} answered")
    check(answer["label"] in ("positive", "negative"), f"the answer is {answer}")
    check(abs(sum(answer["probabilities"].values()) - 1) < 1e-3, f"the probabilities are {answer['probabilities']}")
    check("init" in cold, "the first call was not cold")
    story.say(f"{sample!r}: {answer['label']} ({answer['probabilities'][answer['label']]:.2f})")
    story.say(f"cold: {describe(cold, cold_seconds)}")
    answer_again, _, warm, warm_seconds = host.invoke("live", {"text": sample})
    last_call = time.monotonic()
    check(answer_again == answer, "the same text got another answer")
    check("init" not in warm, "the second call was not warm")
    check(sum(warm.values()) < sum(cold.values()), "the second call was not faster than the first")
    story.say(f"warm: {describe(warm, warm_seconds)}")
    workers = host.workers()
    check(len(workers) == 1, f"there are {len(workers)} workers, not one")
    worker = workers[0]
    check(worker in host.descendants(), f"'roost ps' names process {worker}, which is not below the host")

    story.step("Let it go idle")
    wait_until(
        lambda: host.workers() == [], KEEP_ALIVE_SECONDS + 10, "the worker was not stopped after its keep-alive")
    asleep = time.monotonic() - last_call
    check(asleep >= KEEP_ALIVE_SECONDS * 0.9, f"the worker was stopped after {asleep:.1f} s already")
    wait_until(lambda: not host.descendants(), 3, f"there are processes left below the host: {host.descendants()}")
    check(not Path(f"/proc/{worker}").exists(), f"process {worker} is still in the process table")
    story.say(host.command("ps", shown=True))
    story.say(f"process {worker} was stopped {asleep:.1f} s after the last call; the host has no child left")

    story.step("Call it again: it wakes")
    answer_again, version, cold, cold_seconds = host.invoke("live", {"text": sample})
    check(answer_again == answer and version == "1", f"version {version} answered {answer_again}")
    check("init" in cold, "the call was not cold")
    story.say(f"cold: {describe(cold, cold_seconds)}")

    timed = story.step("Train version 2 on all of the data, and move 'live' to it")
    outcome = train(host, all_data, "2")
    story.say(host.command("alias", "set", FUNCTION, "live", "2", shown=True))
    story.say(f"version 2, validation accuracy {outcome['metrics'].get('validation_accuracy', float('nan')):.3f}: {timed}")

    story.step(f"Judge both versions on the {len(held_out)} held-out reviews, {BATCH} in an invocation")
    for number, least in ACCURACY_MIN.items():
        share, version, seconds = accuracy(host, number, held_out)
        check(version == number, f"version {version} answered for {number}")
        check(share >= least, f"version {number} is right on {share:.3f} of the reviews; at least {least} was expected")
        story.say(f"version {number}: {share:.3f} right, {len(held_out) / seconds:,.0f} reviews/s")
    _, version, _, _ = host.invoke("live", {"text": sample})
    check(version == "2", f"'live' is version {version}, not 2")

    timed = story.step("Roll back")
    story.say(host.command("rollback", FUNCTION, "live", "--why", "the demo says so", shown=True))
    _, version, _, _ = host.invoke("live", {"text": sample})
    check(version == "1", f"after the rollback version {version} answers, not 1")
    story.say(f"'live' is version 1 again: {timed}")

    story.step("Show where 'live' pointed")
    history = host.command("alias", "history", FUNCTION, "live", json_answer=True)["History"]
    targets = [change["To"]["FunctionVersion"] for change in history]
    check(targets == ["1", "2", "1"], f"the history, newest first, is {targets}")
    story.say(host.command("alias", "history", FUNCTION, "live", shown=True))

    timed = story.step("Stop the host")
    below = host.descendants()
    status = host.stop()
    check(status == 0, f"the host ended with status {status}")
    # The kernel ends what a sandbox still holds just after its first process.
    deadline = time.monotonic() + 2
    while (left := [p for p in below if Path(f"/proc/{p}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.01)
    check(not left, f"the host left processes behind: {left}")
    story.say(f"it stopped its workers and ended with status 0: {timed}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--roost", default=ROOT / ".build" / "release" / "roost", help="the roost executable")
    roost = Path(parser.parse_args().roost).absolute()
    if not os.access(roost, os.X_OK):
        print(f"demo: there is no {roost}; run 'make build'", file=sys.stderr)
        return 1
    directory = Path(tempfile.mkdtemp(prefix="roost-demo-"))
    try:
        demo(roost, directory)
    except (Failed, datasets.Unavailable) as error:
        print(f"\ndemo: FAILED: {error}", file=sys.stderr)
        return 1
    except (OSError, http.client.HTTPException, subprocess.SubprocessError, KeyError, TypeError, ValueError) as error:
        print(f"\ndemo: FAILED: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr)
        return 130
    finally:
        remove(directory)
    return 0


def remove(directory):
    """Deletes the host's data too, whose packages and models are read-only folders."""
    for folder, _, _ in os.walk(directory):
        os.chmod(folder, 0o700)
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
