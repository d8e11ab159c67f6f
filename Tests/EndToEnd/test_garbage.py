"""What nothing refers to is removed from the artifact store, and nothing else is."""

import hashlib
import json
import os
import subprocess
import time

import pytest

from roost_host import BINARY, RoostHost, until

from test_datasets import command, put, train
from test_training import create_model

NOW = {"artifactGraceHours": 0, "retryDelaysSeconds": [0.1], "stopGraceSeconds": 2}
GC = "/roost/v1/artifacts/gc"

# Imports a file of its package only when it is told to.
LAZY = """
import time
def handler(event, context):
    time.sleep(event.get("seconds", 0))
    import part
    return part.TEXT
"""


@pytest.fixture
def host(tmp_path):
    with RoostHost(tmp_path / "data", NOW) as host:
        yield host


def collect(host, dry_run=False):
    return host.call("POST", GC, {"DryRun": dry_run})


def folder(path, text, **settings):
    """A function folder whose handler answers `text`."""
    path.mkdir(exist_ok=True)
    (path / "index.py").write_text(LAZY)
    (path / "part.py").write_text(f"TEXT = {text!r}\n")
    (path / "function.json").write_text(json.dumps(
        {"name": path.name, "runtime": "python3", "handler": "index.handler", "memory": 128, **settings}))
    return path


def path_of(host, name):
    """Where the host keeps a file."""
    digest = name.removeprefix("sha256:")
    return host.data_dir / "artifacts" / "files" / digest[:2] / digest


def stored(host):
    """The names of all files of the store, and of its trees."""
    root = host.data_dir / "artifacts"
    return {path.name for path in root.glob("files/*/*")}, {path.name for path in root.glob("trees/*")}


def digest(text):
    return hashlib.sha256(text if isinstance(text, bytes) else text.encode()).hexdigest()


def part(text):
    return digest(f"TEXT = {text!r}\n")


def age(host, hours):
    """Makes all that is stored so much older."""
    for place, folders, files in os.walk(host.data_dir / "artifacts"):
        for name in folders + files:
            at = time.time() - 3600 * hours
            os.utime(os.path.join(place, name), (at, at))


# MARK: - what goes and what stays

def test_exactly_what_nothing_refers_to_is_removed(host, tmp_path):
    for text in ("one", "two", "three", "four"):
        # `one` and `three` are published; `two` is not, and `four` is $LATEST.
        host.roost("deploy", folder(tmp_path / "lazy", text), *(["--publish"] if text in ("one", "three") else []))
        assert host.invoke("lazy").json == text
    host.set_alias("lazy", "live", 1)
    host.set_alias("lazy", "live", 2)
    before = stored(host)
    dry = collect(host, dry_run=True)
    assert stored(host) == before
    done = collect(host)
    assert {**dry, "DryRun": False} == done
    files, trees = stored(host)
    # The file and the manifest of `two`, and its tree; `index.py` is in all of them.
    assert (done["RemovedFiles"], done["RemovedTrees"], done["YoungFiles"]) == (2, 1, 0), done
    gone = before[0] - files
    assert part("two") in gone and len(gone) == 2 and len(before[1] - trees) == 1
    assert done["KeptFiles"] == len(files) == 1 + 3 + 3
    assert done["KeptBytes"] == sum(path_of(host, name).stat().st_size for name in files)
    assert collect(host)["RemovedFiles"] == 0

    assert host.invoke("lazy", qualifier="live").json == "three"
    host.rollback("lazy", "live")
    assert host.invoke("lazy", qualifier="live").json == "one"
    assert host.invoke("lazy").json == "four"
    host.restart()
    assert [host.invoke("lazy", qualifier=q).json for q in ("1", "2", "live", None)] == ["one", "three", "one", "four"]

    # What is gone is sent again, and only that.
    assert "1 file" not in host.roost("deploy", folder(tmp_path / "lazy", "two"))
    assert part("two") in stored(host)[0] and host.invoke("lazy").json == "two"

    host.call("DELETE", "/2015-03-31/functions/lazy")
    until(lambda: collect(host)["KeptFiles"] == 0, 20, "the end of the workers")
    assert stored(host) == (set(), set())


def test_a_training_and_what_it_published_outlive_collections(host):
    create_model(host, "model")
    one = put(host, "set", {"a": b"first"})
    put(host, "set", {"a": b"second"})
    assert train(host, "model", {"train": "dataset:set@1"})["Status"] == "SUCCEEDED"
    collect(host)
    assert train(host, "model", {"train": "dataset:set@2", "more": host.upload({"b": b"third"})})["Status"] == "SUCCEEDED"
    assert collect(host)["RemovedFiles"] == 2, "the channel that no dataset has"
    assert [host.invoke("model", qualifier=str(v)).json["channels"] for v in (1, 2)] == [
        {"train": "first"}, {"train": "second", "more": "third"}]

    kept = collect(host)["KeptBytes"]
    host.roost("data", "rm", "set@1")
    done = collect(host)
    assert not path_of(host, one["Manifest"]).exists() and digest(b"first") not in stored(host)[0]
    assert done["RemovedFiles"] == 2 and kept - done["KeptBytes"] == done["RemovedBytes"] > 5
    assert train(host, "model", {"train": "dataset:set"})["Status"] == "SUCCEEDED"
    assert host.versions("model")[2]["Lineage"]["datasets"] == {"train": {"name": "set", "version": 1}}
    # Stored again, under the next number.
    assert put(host, "set", {"a": b"first"})["Version"] == 3
    assert train(host, "model", {"train": "dataset:set@3"})["Status"] == "SUCCEEDED"


def test_a_training_that_runs_waits_or_is_paused_keeps_its_channels(host):
    create_model(host, "long")
    events = [
        {"steps": steps, "pause": 0.02, "roost": {"channels": {"train": host.upload({"a": text})}}}
        for steps, text in ((100, b"running"), (1, b"waiting"))]
    running, waiting = (host.start_execution("long-train", event) for event in events)
    host.running(running, step=1)
    before = stored(host)
    for _ in range(3):
        assert collect(host)["RemovedFiles"] == 0
    host.roost("executions", "pause", running)
    until(lambda: host.execution(running)["Status"] == "PAUSED", 10)
    collect(host)
    assert before[0] <= stored(host)[0]
    host.roost("executions", "resume", running)
    for identifier, text in ((running, "running"), (waiting, "waiting")):
        execution = host.finished(identifier, 40)
        assert execution["Status"] == "SUCCEEDED", execution
        version = str(execution["PublishedVersion"])
        collect(host)
        assert host.invoke("long", qualifier=version).json["channels"] == {"train": text}


def test_a_worker_keeps_its_files_when_its_version_is_gone(host, tmp_path):
    host.roost("deploy", folder(tmp_path / "lazy", "old"))
    call = host.in_background("lazy", {"seconds": 3})
    until(lambda: host.workers("lazy", "busy"), 10)
    host.roost("deploy", folder(tmp_path / "lazy", "new"))
    assert collect(host)["RemovedFiles"] == 0
    host.call("DELETE", "/2015-03-31/functions/lazy")
    collect(host)
    assert call.result(20).json == "old"
    until(lambda: collect(host)["KeptFiles"] == 0, 20, "the end of the workers")


def test_long_events_and_answers_are_kept_as_long_as_their_executions(tmp_path):
    with RoostHost(tmp_path / "data", {**NOW, "eventMegabytes": 8}) as host:
        host.create("work", "import time\ndef handler(event, context):\n"
                            "    time.sleep(event['seconds'])\n    return event['letter'] * event['letters']\n", reserved=1)
        busy = host.start_execution("work", {"seconds": 2, "letter": "b", "letters": 7_000_000})
        host.running(busy)
        event = {"seconds": 0, "letter": "a", "letters": 1, "ballast": "x" * 2_000_000}
        waiting = host.start_execution("work", event)
        bytes_of_event = collect(host)["KeptBytes"]
        assert bytes_of_event > 2_000_000
        for identifier in (busy, waiting):
            assert host.finished(identifier)["Status"] == "SUCCEEDED"
        assert collect(host)["KeptBytes"] > 9_000_000
        assert host.roost("executions", "result", busy) == '"' + "b" * 7_000_000 + '"'
        for identifier in (busy, waiting):
            host.roost("executions", "rm", identifier)
        assert collect(host)["RemovedBytes"] > 9_000_000


# MARK: - the grace time

def test_what_was_used_lately_is_kept(tmp_path):
    with RoostHost(tmp_path / "data", {**NOW, "artifactGraceHours": 24}) as host:
        host.roost("deploy", folder(tmp_path / "lazy", "one"))
        host.roost("deploy", folder(tmp_path / "lazy", "two"))
        done = collect(host)
        assert done["RemovedFiles"] == 0 and done["YoungFiles"] == 2, done
        assert "2 files" in host.roost("gc") and "24" in host.roost("gc", "--dry-run")
        age(host, 25)
        # A client is told that a file is there, and deploys it at leisure.
        missing = host.call("POST", "/roost/v1/artifacts/missing", {"Digests": ["sha256:" + part("one")]})
        assert missing["Missing"] == []
        done = collect(host)
        assert (done["RemovedFiles"], done["YoungFiles"]) == (1, 1), done
        assert part("one") in stored(host)[0]
        age(host, 25)
        assert host.request("PUT", f"/roost/v1/artifacts/sha256:{part('one')}", b"TEXT = 'one'\n").status == 200
        assert collect(host)["RemovedFiles"] == 0
        host.roost("deploy", folder(tmp_path / "lazy", "one"))
        assert host.invoke("lazy").json == "one"


def test_hosts_do_not_hash_again_what_was_freshened(tmp_path):
    """A file that is damaged in place with its time set back is taken for what it was; so a hash would show."""
    with RoostHost(tmp_path / "data", NOW) as host:
        create_model(host, "trusting")
        channel = {"train": "dataset:kept"}
        put(host, "kept", {"a": b"bytes"})
        assert train(host, "trusting", channel)["Status"] == "SUCCEEDED"
        file = path_of(host, digest(b"bytes"))
        before = file.stat()
        put(host, "kept", {"a": b"bytes"})
        assert file.stat().st_mtime_ns > before.st_mtime_ns, "it is used"
        at = file.stat()
        file.chmod(0o644)
        with open(file, "r+b") as opened:
            opened.write(b"BYTES")
        os.utime(file, ns=(at.st_atime_ns, at.st_mtime_ns))
        assert train(host, "trusting", channel)["Status"] == "SUCCEEDED"
        os.utime(file)
        assert train(host, "trusting", channel)["Error"]["ErrorType"] == "Roost.DigestMismatch"


# MARK: - what goes wrong

def test_a_manifest_that_cannot_be_read_ends_it_before_anything_is_removed(host, tmp_path):
    host.roost("deploy", folder(tmp_path / "lazy", "one"))
    dataset = put(host, "set", {"a": b"1"})
    host.roost("deploy", folder(tmp_path / "lazy", "two"))
    path_of(host, dataset["Manifest"]).unlink()
    before = stored(host)
    for arguments in (["gc"], ["gc", "--dry-run"]):
        done = command(host, *arguments)
        assert done.returncode == 1, done
        assert "nothing was removed, because the files of dataset:set@1 are not known" in done.stderr, done
    assert stored(host) == before
    host.upload({"a": b"1"})
    assert collect(host)["RemovedFiles"] == 2


@pytest.mark.parametrize("fault", ["gc.file-taken-away", "gc.tree-taken-away"])
def test_a_host_that_is_killed_while_it_collects_loses_nothing(tmp_path, monkeypatch, fault):
    monkeypatch.setenv("ROOST_FAULT_POINT", fault)
    host = RoostHost(tmp_path / "data", NOW).start()
    try:
        for text in ("one", "two", "three"):
            host.roost("deploy", folder(tmp_path / "lazy", text))
            assert host.invoke("lazy").json == text
        until(lambda: len(host.pools("lazy")) == 1, 20, "the end of the old workers")
        with pytest.raises(Exception):
            collect(host)
        assert host.exit_code() == -9
        monkeypatch.delenv("ROOST_FAULT_POINT")
        host.start()
        assert host.invoke("lazy").json == "three"
        assert list((host.data_dir / "artifacts/tmp").iterdir()) == []
        files, trees = stored(host)
        assert not any(name.startswith(".new") for name in trees)
        for name in files:
            assert digest(path_of(host, name).read_bytes()) == name
        host.roost("deploy", folder(tmp_path / "lazy", "one"))
        assert host.invoke("lazy").json == "one"
        collect(host)
        assert part("two") not in stored(host)[0]
    finally:
        if host.process:
            host.stop()


def test_deployments_and_trainings_go_on_while_it_collects_without_end(tmp_path):
    """With no grace at all: what a verb of the host itself stores is never lost, and a client is told what is missing."""
    with RoostHost(tmp_path / "data", {**NOW, "trainingConcurrency": 2}) as host:
        create_model(host, "busy")
        put(host, "set", {"a": b"data"})
        collecting = subprocess.Popen(
            ["sh", "-c", f'while "{BINARY}" gc --endpoint {host.endpoint} >/dev/null; do :; done'])
        try:
            trainings = [
                host.start_execution("busy-train", {"steps": 3, "name": str(n), "roost": {"channels": {"train": "dataset:set"}}})
                for n in range(6)]
            for number in range(12):
                # The zip is unpacked, stored and committed by the host alone.
                if number == 0:
                    host.create("zipped", files={"index.py": LAZY, "part.py": "TEXT = 0\n"})
                else:
                    host.call("PUT", "/2015-03-31/functions/zipped/code", {
                        "ZipFile": host.package(files={"index.py": LAZY, "part.py": f"TEXT = {number}\n"})})
                assert host.invoke("zipped").json == number
            for identifier in trainings:
                execution = host.finished(identifier, 60)
                assert execution["Status"] == "SUCCEEDED", execution
                answer = host.invoke("busy", qualifier=str(execution["PublishedVersion"]))
                assert answer.function_error is None and answer.json["channels"] == {"train": "data"}
            assert collecting.poll() is None, "all collections succeeded"
        finally:
            collecting.kill()
            collecting.wait()


def test_bad_requests_are_refused(host):
    for body, word in [({"DryRun": 1}, "DryRun"), ({"Dry": True}, "Dry"), ([], "object")]:
        answer = host.request("POST", GC, body)
        assert answer.status == 400 and word in answer.body.decode(), answer
    assert host.request("GET", GC).status == 405
    assert host.request("POST", GC).status == 200
    assert command(host, "gc", "--wet-run").returncode == 2
    audit = host.call("GET", "/roost/v1/audit")["Entries"]
    assert [entry["Operation"] for entry in audit] == ["CollectArtifacts"], "a dry run changes nothing, nor does a bad one"


def test_it_takes_the_right_to_manage_all_functions(tmp_path):
    (tmp_path / "data").mkdir()
    made = []
    for arguments in ([], ["--function", "a*", "--action", "manage"]):
        done = subprocess.run(
            [BINARY, "keys", "create", *arguments, "--data-dir", str(tmp_path / "data"), "--json"], capture_output=True,
            text=True, check=True)
        key = json.loads(done.stdout)
        made.append({"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]})
    with RoostHost(tmp_path / "data", NOW) as host:
        assert command(host, "gc", environment=made[0]).returncode == 0
        done = command(host, "gc", environment=made[1])
        assert done.returncode == 1 and "AccessDenied" in done.stderr
