"""Datasets: named, numbered, immutable data, and trainings that use it."""

import hashlib
import json
import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from roost_host import BINARY, FUNCTIONS, RoostHost, until

from test_training import create_model

CONFIG = {"retryDelaysSeconds": [0.1], "stopGraceSeconds": 2}
DATASETS = "/roost/v1/datasets"


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with RoostHost(tmp_path_factory.mktemp("datasets") / "data", CONFIG) as host:
        yield host


def command(host, *arguments, environment=None):
    """A client verb, whatever comes of it."""
    return subprocess.run(
        [BINARY, *map(str, arguments), "--endpoint", host.endpoint], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=60, env={**os.environ, **(environment or {})})


def put(host, name, files):
    """The next version of a dataset, by the API; its document."""
    return host.call("POST", f"{DATASETS}/{name}/versions", {"Manifest": host.upload(files)})


def train(host, function, channels, **event):
    """The training once it has ended."""
    identifier = host.start_execution(f"{function}-train", {"steps": 1, **event, "roost": {"channels": channels}})
    return host.finished(identifier)


def data_of(host, name, version):
    """What the model of a version was trained on."""
    return host.invoke(name, qualifier=str(version)).json["channels"]


# MARK: - storing

def test_a_folder_becomes_numbered_versions(host, tmp_path):
    (tmp_path / "set" / "part").mkdir(parents=True)
    (tmp_path / "set" / "a.tsv").write_bytes(b"first\n")
    (tmp_path / "set" / "part" / "b.tsv").write_bytes(b"second\n")
    (tmp_path / "set" / ".hidden").write_bytes(b"not taken")
    one = json.loads(host.roost("data", "put", "folder", tmp_path / "set", "--json"))
    assert (one["Name"], one["Version"], one["Files"], one["SizeBytes"]) == ("folder", 1, 2, 13)
    assert one["IsNew"] is True and one["CreatedBy"] == "anonymous" and one["Manifest"].startswith("sha256:")
    assert "no new version" in host.roost("data", "put", "folder", tmp_path / "set")
    (tmp_path / "set" / "a.tsv").write_bytes(b"changed\n")
    assert "stored dataset:folder@2 (2 files, 15 B, 8 B sent)" in host.roost("data", "put", "folder", tmp_path / "set")
    # Only the newest counts: going back is a new version, of files that are all there.
    (tmp_path / "set" / "a.tsv").write_bytes(b"first\n")
    assert "stored dataset:folder@3 (2 files, 13 B, all there already)" in host.roost(
        "data", "put", "folder", tmp_path / "set")
    versions = json.loads(host.roost("data", "ls", "folder", "--json"))["Versions"]
    assert [version["Version"] for version in versions] == [3, 2, 1]
    assert versions[0]["Manifest"] == versions[2]["Manifest"] == one["Manifest"] != versions[1]["Manifest"]
    assert one["CreatedAt"] == versions[2]["CreatedAt"] <= versions[1]["CreatedAt"] <= versions[0]["CreatedAt"]
    assert [d for d in json.loads(host.roost("data", "ls", "--json"))["Datasets"] if d["Name"] == "folder"] == [
        versions[0]]
    assert host.roost("data", "ls", "folder").splitlines()[1].split()[:5] == ["folder", "3", "2", "13", "B"]
    audit = host.call("GET", "/roost/v1/audit")["Entries"]
    assert [entry["Subject"] for entry in audit if entry["Operation"] == "PutDataset"][:3] == [
        "dataset:folder@3", "dataset:folder@2", "dataset:folder@1"]
    assert "dataset:folder@3" in host.roost("audit")


def test_an_interrupted_upload_goes_on_where_it_stopped(host, tmp_path):
    (tmp_path / "set").mkdir()
    for number in range(4):
        (tmp_path / "set" / f"{number}.bin").write_bytes(bytes([number]) * 100_000)
    # What a first try had sent before it was cut off.
    host.upload({str(number): bytes([number]) * 100_000 for number in range(3)})
    assert "4 files, 400.0 kB, 100.0 kB sent" in host.roost("data", "put", "resumed", tmp_path / "set")


def cut_off(host, content, sent):
    """Begins to upload a file as a client does that goes away in the middle; its digest."""
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    with socket.create_connection(("127.0.0.1", host.port)) as connection:
        connection.sendall(
            f"PUT /roost/v1/artifacts/{digest} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
            .encode() + sent)
    return digest


def part(host, digest):
    """How much of a file the host says that it has."""
    answer = host.call("POST", "/roost/v1/artifacts/missing", {"Digests": [digest]})
    assert answer["Missing"] in ([], [digest])
    return answer["Partial"].get(digest, 0)


def large(seed, size=6_000_000):
    return b"".join(hashlib.sha256(b"%d %d" % (seed, n)).digest() for n in range(size // 32))


@pytest.mark.parametrize("end", ["client", "host"])
def test_a_large_file_that_was_cut_off_goes_on_where_it_stopped(tmp_path, end):
    content = large(1)
    (tmp_path / "file").write_bytes(content)
    with RoostHost(tmp_path / "data", CONFIG) as host:
        if end == "client":
            digest = cut_off(host, content, content[:4_000_000])
        else:
            digest = "sha256:" + hashlib.sha256(content).hexdigest()
            with socket.create_connection(("127.0.0.1", host.port)) as connection:
                connection.sendall(
                    f"PUT /roost/v1/artifacts/{digest} HTTP/1.1\r\nHost: localhost\r\n"
                    f"Content-Length: {len(content)}\r\n\r\n".encode() + content[:4_000_000])
                # The host keeps up to a megabyte in memory.
                until(lambda: sum(file.stat().st_size for file in (host.data_dir / "artifacts/partial").iterdir())
                      >= 2_000_000, 10, "the beginning on the disk")
                host.kill9()
            host.start()
        there = until(lambda: part(host, digest), 10, "the beginning")
        assert 2_000_000 <= there <= 4_000_000
        text = host.roost("data", "put", "cut", tmp_path / "file")
        assert f"{(len(content) - there) / 1e6:.1f} MB sent" in text, text
        assert part(host, digest) == 0 and list((host.data_dir / "artifacts/partial").iterdir()) == []
        assert stored_file(host, content).read_bytes() == content


def test_a_beginning_that_is_not_that_of_the_file_is_dropped(host, tmp_path):
    content = large(2)
    (tmp_path / "file").write_bytes(content)
    digest = cut_off(host, content, b"x" * 3_000_000)
    until(lambda: part(host, digest), 10, "the beginning")
    # It is tried, found to be another file's, and all is sent.
    assert f"{len(content) / 1e6:.1f} MB sent" in host.roost("data", "put", "other", tmp_path / "file")
    assert stored_file(host, content).read_bytes() == content
    assert part(host, digest) == 0


def test_offsets_that_cannot_be_are_refused(host):
    content = large(3)
    digest = cut_off(host, content, content[:3_000_000])
    there = until(lambda: part(host, digest), 10, "the beginning")
    path = f"/roost/v1/artifacts/{digest}"
    for offset in ("-1", "x", str(2**63)):
        assert host.request("PUT", f"{path}?offset={offset}", b"x").status == 400, offset
    assert host.request("PUT", f"{path}?offset={2**62}", b"x").status == 413
    # More than there is: the beginning may be gone, so it is sent again.
    answer = host.request("PUT", f"{path}?offset={there + 1}", content[there + 1:])
    assert answer.status == 400, answer
    other = "sha256:" + hashlib.sha256(b"never begun").hexdigest()
    assert host.request("PUT", f"/roost/v1/artifacts/{other}?offset=5", b"begun" * 300_000).status == 400
    # A small file is not worth it.
    assert host.request("PUT", f"/roost/v1/artifacts/{other}?offset=6", b"begun").status == 400
    assert host.request("PUT", path, content).status == 201
    assert host.request("PUT", f"{path}?offset=100", content[100:]).status == 200, "it is there"


def test_lists_come_in_pages(host):
    for number in range(5):
        put(host, "paged", {"n": str(number).encode()})
    page = host.call("GET", f"{DATASETS}/paged?limit=2")
    assert [v["Version"] for v in page["Versions"]] == [5, 4]
    page = host.call("GET", f"{DATASETS}/paged?limit=2&marker={page['NextMarker']}")
    assert [v["Version"] for v in page["Versions"]] == [3, 2]
    page = host.call("GET", f"{DATASETS}/paged?limit=2&marker={page['NextMarker']}")
    assert [v["Version"] for v in page["Versions"]] == [1] and "NextMarker" not in page
    put(host, "paged-2", {"n": b"x"})
    first = host.call("GET", f"{DATASETS}?limit=1")
    names = [first["Datasets"][0]["Name"]]
    while marker := first.get("NextMarker"):
        first = host.call("GET", f"{DATASETS}?limit=1&marker={marker}")
        names += [dataset["Name"] for dataset in first["Datasets"]]
    assert names == sorted(names) and {"paged", "paged-2"} <= set(names)


def test_a_version_that_was_acknowledged_survives_the_host(tmp_path):
    with RoostHost(tmp_path / "data", CONFIG) as host:
        create_model(host, "kept")
        put(host, "kept", {"a": b"1"})
        put(host, "kept", {"a": b"2"})
        host.kill9()
        host.start()
        assert [v["Version"] for v in host.call("GET", f"{DATASETS}/kept")["Versions"]] == [2, 1]
        assert put(host, "kept", {"a": b"2"})["IsNew"] is False
        assert put(host, "kept", {"a": b"3"})["Version"] == 3
        assert train(host, "kept", {"train": "dataset:kept@2"})["Status"] == "SUCCEEDED"
        assert data_of(host, "kept", 1) == {"train": "2"}


@pytest.mark.parametrize("name", ["a b", "a" * 65, "a.b", "a@1", "dataset:a", "ü"])
def test_a_name_that_is_none_is_refused(host, tmp_path, name):
    (tmp_path / "file").write_bytes(b"x")
    done = command(host, "data", "put", name, tmp_path / "file")
    assert done.returncode == 2 and "is no name of a dataset" in done.stderr
    quoted = __import__("urllib.parse").parse.quote(name)
    answer = host.request("POST", f"{DATASETS}/{quoted}/versions", {"Manifest": "sha256:" + "0" * 64})
    assert answer.status == 400 and "is no name of a dataset" in answer.json["message"]


def test_bad_requests_are_refused_and_make_no_version(host, tmp_path):
    manifest = host.upload({"a": b"1"})
    for body, word in [
        ({}, "Manifest"), ({"Manifest": "x"}, "sha256"), ({"Manifest": manifest, "More": 1}, "More"),
        ({"Manifest": 7}, "Manifest"), ([], "object"),
    ]:
        answer = host.request("POST", f"{DATASETS}/bad/versions", body)
        assert answer.status == 400 and word.lower() in answer.json["message"].lower(), answer
    assert host.request("POST", f"{DATASETS}/bad/versions", {"Manifest": "sha256:" + "0" * 64}).status == 404
    answer = host.request("POST", f"{DATASETS}/bad/versions", {"Manifest": host.upload({})})
    assert answer.status == 400 and "at least one file" in answer.json["message"]
    answer = host.request("GET", f"{DATASETS}/bad")
    assert answer.status == 404 and answer.json["Message"] == "Dataset not found: dataset:bad"
    for query in ("limit=0", "limit=1001", "limit=x", "marker=x"):
        assert host.request("GET", f"{DATASETS}/bad?{query}").status == 400, query
    assert host.request("PUT", f"{DATASETS}/bad").status == 405
    done = command(host, "data", "ls", "bad")
    assert done.returncode == 1 and "Dataset not found: dataset:bad" in done.stderr
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "nothing"):
        done = command(host, "data", "put", "bad", path)
        assert done.returncode in (1, 2) and str(path) in done.stderr


def test_a_removed_version_is_gone_and_its_number_is_not_given_again(host, tmp_path):
    create_model(host, "remover")
    for text in (b"1", b"2", b"3"):
        put(host, "gone", {"a": text})
    # What was trained on it keeps its lineage.
    assert train(host, "remover", {"train": "dataset:gone@3"})["Status"] == "SUCCEEDED"
    assert host.roost("data", "rm", "gone@3") == "removed dataset:gone@3\n"
    assert [v["Version"] for v in host.call("GET", f"{DATASETS}/gone")["Versions"]] == [2, 1]
    assert [d["Version"] for d in host.call("GET", f"{DATASETS}?limit=1000")["Datasets"] if d["Name"] == "gone"] == [2]
    assert host.versions("remover")[0]["Lineage"]["datasets"] == {"train": {"name": "gone", "version": 3}}
    assert "gone@3" in host.roost("versions", "remover")
    host.roost("diff", "remover", "$LATEST", "1")
    for arguments in (["data", "rm", "gone@3"], ["train", "remover", "--channel", "train=dataset:gone@3"]):
        done = command(host, *arguments)
        assert done.returncode == 1 and "Dataset not found: dataset:gone@3 was removed" in done.stderr, done
    assert train(host, "remover", {"train": "dataset:gone"})["Status"] == "SUCCEEDED"
    assert data_of(host, "remover", 2) == {"train": "2"}, "the newest that is left"
    # The same files again are a new version, since the one that had them is gone.
    assert put(host, "gone", {"a": b"3"})["Version"] == 4
    assert put(host, "gone", {"a": b"3"})["IsNew"] is False
    assert json.loads(host.roost("data", "rm", "gone", "--json")) == {"Removed": "dataset:gone"}
    for path in (f"{DATASETS}/gone", f"{DATASETS}/gone/versions/1"):
        answer = host.request("DELETE", path)
        assert answer.status == 404 and "was removed" in answer.json["Message"], answer
    answer = host.request("GET", f"{DATASETS}/gone")
    assert answer.status == 404 and answer.json["Message"] == "Dataset not found: dataset:gone was removed"
    host.restart()
    assert put(host, "gone", {"a": b"1"})["Version"] == 5
    removed = [e["Subject"] for e in host.call("GET", "/roost/v1/audit")["Entries"] if e["Operation"] == "RemoveDataset"]
    assert removed == ["dataset:gone", "dataset:gone@3"]


def test_what_cannot_be_removed_is_refused(host):
    put(host, "stays", {"a": b"1"})
    for name, status, text in [
        ("nobody", 404, "Dataset not found: dataset:nobody"), ("stays/versions/2", 404, "Dataset not found: dataset:stays@2"),
        ("stays/versions/0", 400, "'0' is no version"), ("stays/versions/01", 400, "'01' is no version"),
        ("stays/versions/x", 400, "'x' is no version"), ("a%20b", 400, "is no name of a dataset"),
    ]:
        answer = host.request("DELETE", f"{DATASETS}/{name}")
        assert answer.status == status and text in answer.body.decode(), answer
    assert host.request("DELETE", f"{DATASETS}/stays", {"Version": 1}).status == 400
    assert host.request("DELETE", f"{DATASETS}/stays/versions").status == 405
    for arguments, status, text in [
        (["nobody"], 1, "Dataset not found: dataset:nobody"), (["stays@x"], 2, "'x' is no version"),
        (["stays@"], 2, "'' is no version"), (["a b"], 2, "is no name of a dataset"), ([], 2, "name[@version]"),
    ]:
        done = command(host, "data", "rm", *arguments)
        assert done.returncode == status and text in done.stderr, done
    assert host.call("GET", f"{DATASETS}/stays")["Versions"][0]["Version"] == 1


def test_a_version_that_a_training_uses_is_not_removed(host):
    create_model(host, "busy")
    put(host, "used", {"a": b"1"})
    put(host, "used", {"a": b"2"})
    event = {"steps": 1000, "pause": 0.02, "roost": {"channels": {"train": "dataset:used@1"}}}
    running = host.start_execution("busy-train", event)
    host.running(running, step=1)
    for name in ("used@1", "used"):
        done = command(host, "data", "rm", name)
        assert done.returncode == 1 and f"dataset:used@1 cannot be removed: it is a channel of execution {running}" in (
            done.stderr), done
    host.roost("data", "rm", "used@2")
    host.roost("executions", "pause", running)
    assert host.request("DELETE", f"{DATASETS}/used").status == 409
    host.call("POST", f"/roost/v1/executions/{running}/stop")
    host.roost("data", "rm", "used")


def test_of_a_removal_and_trainings_that_race_one_side_is_refused(host):
    create_model(host, "racing")
    for round in range(8):
        version = put(host, "raced", {"a": str(round).encode()})["Version"]
        events = [{"steps": 1, "roost": {"channels": {"train": f"dataset:raced@{version}"}}}] * 4
        with ThreadPoolExecutor(5) as pool:
            removal = pool.submit(host.request, "DELETE", f"{DATASETS}/raced/versions/{version}")
            answers = list(pool.map(
                lambda event: host.invoke("racing-train", event, headers={"X-Amz-Invocation-Type": "Event"}), events))
        accepted = [answer for answer in answers if answer.status == 202]
        assert all("was removed" in answer.body.decode() for answer in answers if answer.status != 202), answers
        # Trainings that had ended by then do not keep it.
        assert removal.result().status in (200, 409), removal.result()
        for answer in accepted:
            identifier = answer.headers["X-Amz-Durable-Execution-Arn"].rsplit("/", 1)[1]
            assert host.finished(identifier, 40)["Status"] == "SUCCEEDED"


def test_a_key_needs_rights_on_the_host_to_store_and_on_a_training_to_list(tmp_path):
    (tmp_path / "data").mkdir()

    def key(*arguments):
        done = subprocess.run(
            [BINARY, "keys", "create", *arguments, "--data-dir", str(tmp_path / "data"), "--json"], capture_output=True,
            text=True, check=True)
        made = json.loads(done.stdout)
        return {"AWS_ACCESS_KEY_ID": made["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"]}

    admin = key()
    trainer = key("--function", "sentiment*", "--action", "train")
    caller = key("--function", "*", "--action", "invoke")
    (tmp_path / "file").write_bytes(b"x")
    with RoostHost(tmp_path / "data", CONFIG) as host:
        for environment, puts, lists in [(admin, 0, 0), (trainer, 1, 0), (caller, 1, 1)]:
            done = command(host, "data", "put", "mine", tmp_path / "file", environment=environment)
            assert done.returncode == puts, done.stderr
            assert puts == 0 or "AccessDenied" in done.stderr, done.stderr
            done = command(host, "data", "rm", "mine@1", environment=environment)
            assert done.returncode == puts, done.stderr
            assert puts == 0 or "AccessDenied" in done.stderr, done.stderr
            if puts == 0:
                command(host, "data", "put", "mine", tmp_path / "file", environment=environment)
            for arguments in ([], ["mine"]):
                done = command(host, "data", "ls", *arguments, environment=environment)
                assert done.returncode == lists, done.stderr
                assert lists == 0 or "AccessDenied" in done.stderr, done.stderr


# MARK: - training on them

def test_a_training_uses_the_newest_version_or_the_one_that_is_named(host):
    create_model(host, "reader")
    one, two = put(host, "reviews", {"a": b"old"}), put(host, "reviews", {"a": b"new"})
    first = train(host, "reader", {"train": "dataset:reviews"})
    second = train(host, "reader", {"train": "dataset:reviews@1", "more": host.upload({"b": b"plain"})})
    assert first["Status"] == second["Status"] == "SUCCEEDED", (first, second)
    assert data_of(host, "reader", 1) == {"train": "new"}
    assert data_of(host, "reader", 2) == {"train": "old", "more": "plain"}
    older, newer = (version["Lineage"] for version in reversed(host.versions("reader")))
    assert newer["channels"]["train"] == one["Manifest"] and older["channels"] == {"train": two["Manifest"]}


def test_the_version_is_chosen_when_the_training_is_accepted(host):
    create_model(host, "early")
    put(host, "moving", {"a": b"old"})
    first = host.start_execution("early-train", {"steps": 100, "pause": 0.02})
    host.running(first)
    second = host.start_execution("early-train", {"steps": 1, "roost": {"channels": {"train": "dataset:moving"}}})
    put(host, "moving", {"a": b"new"})
    assert host.execution(second)["Status"] == "QUEUED"
    host.call("POST", f"/roost/v1/executions/{first}/stop")
    assert host.finished(second)["Status"] == "SUCCEEDED"
    assert data_of(host, "early", 1) == {"train": "old"}


def test_train_on_the_command_line_takes_datasets_and_paths(host, tmp_path):
    create_model(host, "typed")
    put(host, "typed", {"a": b"one"})
    put(host, "typed", {"a": b"two"})
    (tmp_path / "extra").write_bytes(b"extra")
    host.roost("train", "typed", "-d", '{"steps": 1}', "--channel", "train=dataset:typed@1", "--channel",
               f"more={tmp_path / 'extra'}")
    assert data_of(host, "typed", 1) == {"train": "one", "more": "extra"}
    done = command(host, "train", "typed", "--channel", "train=dataset:typed@one")
    assert done.returncode == 2 and "write dataset:NAME or dataset:NAME@VERSION" in done.stderr
    done = command(host, "train", "typed", "--channel", "train=dataset:typed@3")
    assert done.returncode == 1 and "Dataset not found: dataset:typed@3" in done.stderr


@pytest.mark.parametrize("channel, status, text", [
    ("dataset:nobody", 404, "Dataset not found: dataset:nobody"),
    ("dataset:there@2", 404, "Dataset not found: dataset:there@2"),
    ("dataset:there@0", 400, "'dataset:there@0'"),
    ("dataset:there@latest", 400, "'dataset:there@latest'"),
    ("dataset:", 400, "'dataset:'"),
    ("dataset:a b", 400, "'dataset:a b'"),
])
def test_a_dataset_that_is_not_there_is_refused_before_anything_runs(host, channel, status, text):
    if host.request("GET", f"{FUNCTIONS}/careful").status != 200:
        create_model(host, "careful")
        put(host, "there", {"a": b"1"})
    answer = host.invoke(
        "careful-train", {"roost": {"channels": {"train": channel}}}, headers={"X-Amz-Invocation-Type": "Event"})
    assert answer.status == status and text in answer.body.decode(), answer
    assert host.call("GET", "/roost/v1/executions?function=careful-train")["Executions"] == []
    assert host.versions("careful") == []


# MARK: - data that is no longer what it was

def stored_file(host, content):
    """Where the host keeps these bytes."""
    digest = hashlib.sha256(content).hexdigest()
    return host.data_dir / "artifacts" / "files" / digest[:2] / digest


def overwrite(path, content):
    path.chmod(0o644)
    with open(path, "r+b") as file:
        file.write(content)


def check_mismatch(host, name, execution, *words):
    assert execution["Status"] == "FAILED", execution
    assert execution["Error"]["ErrorType"] == "Roost.DigestMismatch", execution
    assert all(word in execution["Error"]["ErrorMessage"] for word in words), execution
    assert "PublishedVersion" not in execution and host.kinds(execution["Id"]).count("attemptEnded") == 1


@pytest.mark.parametrize("is_loaded", [False, True], ids=["before it is first used", "after it was used"])
def test_data_that_was_changed_on_disk_fails_the_training(host, tmp_path, is_loaded):
    name = f"spoiled-{int(is_loaded)}"
    create_model(host, name)
    # Retries would not help, so there are none, even where they are configured.
    host.call("PUT", f"/2019-09-25/functions/{name}-train/event-invoke-config", {"MaximumRetryAttempts": 2})
    good = f"the content of {name}".encode()
    put(host, name, {"part/a.tsv": good, "b.tsv": b"another"})
    if is_loaded:
        assert train(host, name, {"train": f"dataset:{name}"})["Status"] == "SUCCEEDED"
    published = len(host.versions(name))
    overwrite(stored_file(host, good), b"THE")
    check_mismatch(host, name, train(host, name, {"train": f"dataset:{name}"}), "channel 'train'", "part/a.tsv")
    assert len(host.versions(name)) == published
    # Sent again, it is whole again, under the same version.
    assert put(host, name, {"part/a.tsv": good, "b.tsv": b"another"})["Version"] == 1
    assert train(host, name, {"train": f"dataset:{name}"})["Status"] == "SUCCEEDED"
    assert sorted(data_of(host, name, published + 1)["train"]) == sorted((good + b"another").decode())


def test_damage_is_found_after_the_host_was_started_again(tmp_path):
    with RoostHost(tmp_path / "data", CONFIG) as host:
        create_model(host, "restarted")
        put(host, "d", {"a": b"some data"})
        assert train(host, "restarted", {"train": "dataset:d"})["Status"] == "SUCCEEDED"
        path = stored_file(host, b"some data")
        times = path.stat()
        overwrite(path, b"SOME")
        # As a disk does it: nothing tells of the change.
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        host.restart()
        check_mismatch(host, "restarted", train(host, "restarted", {"train": "dataset:d"}), "channel 'train'", "'a'")


def test_a_base_model_that_was_changed_fails_the_training(host):
    create_model(host, "based")
    assert train(host, "based", {}, name="first")["Status"] == "SUCCEEDED"
    [version] = host.versions("based")
    files = host.data_dir / "artifacts" / "files"
    manifest = version["Model"].removeprefix("sha256:")
    model = (files / manifest[:2] / manifest).read_text().split()[2]
    overwrite(files / model[:2] / model, b"?")
    check_mismatch(host, "based", train(host, "based", {}), "base model", "model.json")
    assert len(host.versions("based")) == 1


def test_data_that_is_gone_when_the_training_starts_fails_it(host):
    create_model(host, "gone")
    put(host, "gone", {"a": b"going"})
    first = host.start_execution("gone-train", {"steps": 100, "pause": 0.02})
    host.running(first)
    second = host.start_execution("gone-train", {"steps": 1, "roost": {"channels": {"train": "dataset:gone"}}})
    stored_file(host, b"going").unlink()
    host.call("POST", f"/roost/v1/executions/{first}/stop")
    check_mismatch(host, "gone", host.finished(second), "channel 'train'", "'a'")
    assert host.versions("gone") == []
