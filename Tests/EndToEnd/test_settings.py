"""docs/SETTINGS.md and docs/settings.example.json say the truth: hosts are started with what they document.

ROOST_BINARY names the program; default .build/release/roost of this project.
"""

import json
import os
import re
import select
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("ROOST_BINARY") or str(ROOT / ".build" / "release" / "roost")
EXAMPLE = json.loads((ROOT / "docs" / "settings.example.json").read_text())
START_SECONDS = 30


def documented():
    """The rows of the table of the configuration file: {key: {column: text}}."""
    text = (ROOT / "docs" / "SETTINGS.md").read_text()
    section = text.split("## The host: configuration file")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
    columns = rows[0]
    assert columns == ["key", "unit", "default", "range", "meaning"]
    return {row[0].strip("`"): dict(zip(columns, row)) for row in rows[2:]}


KEYS = documented()
# Those with a range of numbers: {key: (least, most)}.
RANGES = {
    key: tuple(json.loads(number) for number in match.groups())
    for key, row in KEYS.items()
    if (match := re.fullmatch(r"([\d.]+) to ([\d.]+)", row["range"]))
}


def start(directory, settings, *flags):
    """A host with this configuration file, on a free port unless it says otherwise."""
    file = directory / "settings.json"
    file.write_text(settings if isinstance(settings, str) else json.dumps(settings))
    return subprocess.Popen(
        [BINARY, "serve", "--config", str(file), *flags], cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True)


def accepted(directory, settings, *flags):
    """Starts a host, waits for the line that says where it listens, ends it; that line."""
    host = start(directory, settings, *flags)
    try:
        ready, _, _ = select.select([host.stdout], [], [], START_SECONDS)
        line = host.stdout.readline() if ready else ""
        assert line.startswith("roost: listening on http://"), line or (host.kill(), host.stderr.read())[1]
        host.send_signal(signal.SIGTERM)
        assert host.wait(START_SECONDS) == 0
        return line.split()[-1]
    finally:
        host.kill()
        host.communicate()


def refused(directory, settings, *flags):
    """Starts a host that must not start; what it says."""
    host = start(directory, settings, *flags)
    try:
        output, errors = host.communicate(timeout=START_SECONDS)
    finally:
        host.kill()
        host.communicate()
    assert host.returncode == 2, f"exit status {host.returncode}: {output}{errors}"
    assert output == ""
    return errors


FREE = ["--listen", "127.0.0.1:0"]


def test_the_example_has_every_documented_key_at_its_default():
    assert list(EXAMPLE) == list(KEYS)
    for key, row in KEYS.items():
        if (match := re.fullmatch(r"`(.+)`", row["default"])):
            assert EXAMPLE[key] == json.loads(match[1]), key
        else:
            # These follow from the machine.
            assert EXAMPLE[key] == {"memoryMegabytes": RANGES[key][1], "startsInFlightMax": 16}[key]


def test_every_key_with_a_number_has_a_documented_range():
    numbers = {key for key, value in EXAMPLE.items() if isinstance(value, (int, float))}
    assert numbers == set(RANGES)


def test_a_host_starts_with_the_example(tmp_path):
    accepted(tmp_path, EXAMPLE, *FREE)
    assert (tmp_path / EXAMPLE["dataDirectory"] / "registry.sqlite").exists()


@pytest.mark.parametrize("end", [0, 1], ids=["least", "most"])
def test_a_host_starts_with_every_key_at_an_end_of_its_range(tmp_path, end):
    accepted(tmp_path, {key: limits[end] for key, limits in RANGES.items()}, *FREE)


@pytest.mark.parametrize("delays", [[], [0] * 10, [86400]], ids=["none", "ten", "a day"])
def test_a_host_starts_with_any_documented_retry_delays(tmp_path, delays):
    accepted(tmp_path, {"retryDelaysSeconds": delays}, *FREE)


def test_a_host_starts_without_isolation_when_told_so(tmp_path):
    accepted(tmp_path, {"sandbox": "none"}, *FREE)


def test_null_is_the_default(tmp_path):
    accepted(tmp_path, dict.fromkeys(KEYS), *FREE)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0"])
def test_a_host_listens_where_the_file_says(tmp_path, address):
    url = accepted(tmp_path, {"listen": address, "dataDirectory": "elsewhere"})
    assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*", url)
    assert (tmp_path / "elsewhere" / "registry.sqlite").exists()


def test_flags_win_over_the_file(tmp_path):
    accepted(
        tmp_path, {"listen": "192.0.2.1:80", "dataDirectory": "of-the-file", "sandbox": "bubblewrap"}, *FREE, "--data-dir",
        "of-the-flag", "--sandbox", "none")
    assert not (tmp_path / "of-the-file").exists()
    assert (tmp_path / "of-the-flag" / "registry.sqlite").exists()


def outside():
    for key, (least, most) in RANGES.items():
        step = 1 if isinstance(EXAMPLE[key], int) and "Seconds" not in key else 0.001
        yield key, least - step
        yield key, most + step
    yield "retryDelaysSeconds", [1] * 11
    yield "retryDelaysSeconds", [-0.5]
    yield "retryDelaysSeconds", [86400.5]
    yield "sandbox", "docker"


@pytest.mark.parametrize("key,value", list(outside()))
def test_a_value_out_of_its_range_is_refused_by_name(tmp_path, key, value):
    message = refused(tmp_path, {key: value}, *FREE)
    assert key in message
    if key in RANGES:
        assert f"from {RANGES[key][0]}" in message, "the message gives the range that is documented"


@pytest.mark.parametrize("key", KEYS)
def test_a_value_of_another_kind_is_refused_by_name(tmp_path, key):
    assert key in refused(tmp_path, {key: {"a": 1}}, *FREE)


QUEUE = "arn:aws:sqs:us-east-1:000000000000:q"


@pytest.mark.parametrize("destinations,message", [
    ({"queue": {"directory": "/tmp"}}, "'queue', which is no ARN"),
    ({"arn:aws:lambda:us-east-1:000000000000:function:f": {"directory": "/tmp"}}, "no ARN of one of events, s3, sns, sqs"),
    ({QUEUE: {}}, "must have either 'directory' or 'url'"),
    ({QUEUE: {"directory": "/tmp", "url": "https://a"}}, "must have either 'directory' or 'url'"),
    ({QUEUE: {"directory": 7}}, "directory must be a string"),
    ({QUEUE: {"directory": "/tmp", "secretFile": "s"}}, "secretFile is not a known key"),
    ({QUEUE: {"url": "ftp://a", "secretFile": "s"}}, "must begin with https:// or http://"),
    ({QUEUE: {"url": "https://a"}}, "secretFile is missing"),
    ({QUEUE: {"url": "https://a", "secretFile": "s", "timeoutSeconds": 0}}, "from 0.1 to 300"),
    ({f"arn:aws:s3:::{n}": {"directory": "/tmp"} for n in range(101)}, "has 101 members; allowed are 100"),
])
def test_destinations_that_are_none_are_refused(tmp_path, destinations, message):
    assert message in refused(tmp_path, {"destinations": destinations}, *FREE)


def test_an_unknown_key_is_refused_by_name(tmp_path):
    assert "workerMax" in refused(tmp_path, {"workerMax": 4}, *FREE)


@pytest.mark.parametrize("text", ["", "[]", '{"workersMax": 1, "workersMax": 2}', '{"workersMax": 1'])
def test_a_file_that_is_no_object_of_settings_is_refused(tmp_path, text):
    assert refused(tmp_path, text, *FREE).startswith("roost: ")


@pytest.mark.parametrize("address", ["", "7070", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x"])
def test_an_address_that_is_none_is_refused_by_its_text(tmp_path, address):
    assert f"'{address}'" in refused(tmp_path, {"listen": address})


@pytest.mark.parametrize("flag,value", [("--listen", "here"), ("--sandbox", "docker")])
def test_a_wrong_flag_is_refused_by_its_value(tmp_path, flag, value):
    assert value in refused(tmp_path, {}, *(["--data-dir", "d"] if flag == "--listen" else FREE), flag, value)
