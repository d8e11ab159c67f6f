"""What `roost train` draws on a terminal while a training runs, seen through a pseudo terminal."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time

import pytest

from roost_host import BINARY, RoostHost

COLUMNS, ROWS = 120, 30

TRAINER = """
import os, time
for step in range(1, 41):
    print(f"{step}/40 loss={1 / step} accuracy={step / 40}", flush=True)
    time.sleep(0.04)
open(os.environ["SM_MODEL_DIR"] + "/model", "w").write("m")
"""


class Screen:
    """As much of a terminal as is needed: text, CR, LF, cursor up, erasing, colours. Keeps every state it was in when
    something was drawn completely."""

    def __init__(self):
        self.lines, self.row, self.column = [""], 0, 0
        self.states = []
        self.has_colors = False

    def take(self, text):
        for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+|\x1b", text):
            if part == "\r":
                self.column = 0
            elif part == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif part.startswith("\x1b"):
                self.control(part)
            else:
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[:self.column] + part + line[self.column + len(part):]
                self.column += len(part)
                assert self.column < COLUMNS, f"too wide: {part!r}"

    def control(self, part):
        match part[-1]:
            case "A":
                self.row -= int(part[2:-1])
                assert self.row >= 0
            case "K":
                self.lines[self.row] = self.lines[self.row][:self.column]
            case "J":
                self.lines[self.row] = self.lines[self.row][:self.column]
                del self.lines[self.row + 1:]
                self.states.append(list(self.lines))
            case "m":
                self.has_colors = True
            case _:
                raise AssertionError(f"an escape sequence that nobody expected: {part!r}")


def on_terminal(host, *arguments, interrupted=False, **environment):
    """Runs a client verb whose error stream is a terminal, and presses Ctrl-C when there is a curve if told so: (exit
    status, standard output, the screen)."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(
        [BINARY, *arguments, "--endpoint", host.endpoint], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=theirs, text=True, env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **environment})
    os.close(theirs)
    received = []

    def read():
        try:
            while data := os.read(ours, 65536):
                received.append(data)
                if interrupted and b"|" in data:
                    process.send_signal(signal.SIGINT)
        except OSError:  # how a terminal's end is told
            pass

    reader = threading.Thread(target=read)
    reader.start()
    out, _ = process.communicate(timeout=60)
    reader.join()
    os.close(ours)
    screen = Screen()
    screen.take(b"".join(received).decode())
    return process.returncode, out, screen


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    folder = tmp_path_factory.mktemp("view")
    with RoostHost(folder / "data") as host:
        code = folder / "drawn"
        code.mkdir()
        (code / "train.py").write_text(TRAINER)
        (code / "drawn.py").write_text("def handler(event, context):\n    return 1\n")
        metrics = {"train:loss": "loss=([0-9.]+)", "accuracy": "accuracy=([0-9.]+)", "roost:fraction": r"(\d+)/(\d+)"}
        (code / "function.json").write_text(json.dumps({
            "name": "drawn", "runtime": "python3",
            "training": {"handler": "train.py", "metrics": [{"name": n, "regex": r} for n, r in metrics.items()]}}))
        host.roost("deploy", code)
        yield host


def curves(screen):
    """The states with a curve, each as (name, rows of the curve, status)."""
    found = []
    for state in screen.states:
        first = next((n for n, line in enumerate(state) if re.match(r" +[0-9.e+-]+ \+", line)), None)
        if first is not None:
            found.append((state[first - 1].strip(), state[first:first + 8], state[first + 8]))
    return found


def test_a_curve_is_drawn_while_it_trains_and_gone_when_it_has_ended(host):
    begin = time.monotonic()
    status, out, screen = on_terminal(host, "train", "drawn")
    seconds = time.monotonic() - begin
    assert status == 0 and out.startswith("published version")
    drawn = curves(screen)
    assert 3 <= len(drawn) <= 4 * seconds + 1
    for name, rows, line in drawn:
        assert name == "train:loss"
        assert len(rows) == 8 and re.match(r" +[0-9.e+-]+ \+", rows[-1])
        assert re.match(r"\[[#-]+\] +\d+ %  [0-9.]+ s  ", line), line
    name, rows, line = drawn[-1]
    assert any(0x2800 < ord(character) < 0x2900 for row in rows for character in row)
    assert re.search(r"  ETA [0-9.]+ s  train:loss [0-9.]+  accuracy [0-9.]+$", line), line
    assert screen.has_colors
    assert [line for line in screen.lines if line] == [line for line in screen.lines if line.startswith("training drawn")]


def test_another_metric_is_drawn_on_demand_and_without_colours(host):
    status, _, screen = on_terminal(host, "train", "drawn", "--plot", "accuracy", NO_COLOR="1")
    assert status == 0 and not screen.has_colors
    assert {name for name, _, _ in curves(screen)} == {"accuracy"}


def test_ctrl_c_leaves_a_clean_screen(host):
    status, _, screen = on_terminal(host, "train", "drawn", interrupted=True)
    assert status == 0 and curves(screen)
    shown = [line for line in screen.lines if line]
    assert [line.split()[0] for line in shown] == ["training", "detached;"]


def test_an_execution_that_is_followed_is_drawn_too(host):
    identifier = host.start_execution("drawn-train", {})
    status, _, screen = on_terminal(host, "executions", "logs", "-f", identifier)
    assert status == 0 and curves(screen)
    assert not any("%" in line for line in screen.lines)


def test_without_a_terminal_nothing_is_drawn_and_the_course_of_a_metric_is_shown(host):
    done = subprocess.run([BINARY, "train", "drawn", "--json", "--endpoint", host.endpoint], capture_output=True, text=True)
    assert done.returncode == 0 and "\x1b" not in done.stderr and "%" not in done.stderr
    arn = json.loads(done.stdout.splitlines()[-1])["executionArn"]
    shown = json.loads(host.roost("executions", "show", arn, "--json"))
    assert set(shown["Metrics"]) == {"train:loss", "accuracy"}
    values = [point["Value"] for point in shown["Metrics"]["train:loss"]]
    assert values == [1 / step for step in range(1, 41)]
    times = [point["At"] for point in shown["Metrics"]["train:loss"]]
    assert times == sorted(times) and times[-1] > times[0]


def test_a_curve_that_cannot_be_drawn_is_wrong_usage(host):
    for arguments in (["train", "drawn", "--detach", "--plot", "loss"], ["executions", "logs", "x", "--plot", "loss"]):
        done = subprocess.run([BINARY, *arguments, "--endpoint", host.endpoint], capture_output=True, text=True)
        assert done.returncode == 2 and "--plot" in done.stderr, done.stderr
