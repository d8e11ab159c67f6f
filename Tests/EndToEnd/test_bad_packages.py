"""Packages, manifests and artifacts that are refused, and leave nothing."""

import hashlib
import io
import os
import stat
import threading
import warnings
import zipfile

import pytest

from conftest import make_zip, wait_until
from refusals import FUNCTIONS, MISSING, assert_refused, create_from, host, serves_on

# MARK: packages

def linked(name, target):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        entry = zipfile.ZipInfo(name)
        entry.create_system = 3
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, target)
        archive.writestr("function.py", "x = 1\n")
    return data.getvalue()


def with_mode(mode):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        entry = zipfile.ZipInfo("device")
        entry.create_system = 3
        entry.external_attr = mode << 16
        archive.writestr(entry, "")
    return data.getvalue()


def damaged():
    whole = bytearray(make_zip({"function.py": "x = 1\n" * 100}))
    middle = whole.index(b"function.py") + 20
    for offset in range(10):
        whole[middle + offset] ^= 0xFF
    return bytes(whole)


def twice():
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("function.py", "x = 1\n")
        archive.writestr("function.py", "x = 2\n")
    return data.getvalue()


def encrypted():
    whole = bytearray(make_zip({"function.py": "x = 1\n"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        whole[whole.index(signature) + offset] |= 1
    return bytes(whole)


BAD_PACKAGES = {
    "nothing": b"", "text": b"this is no zip", "half": make_zip({"function.py": "x = 1\n" * 100})[:60],
    "damaged": damaged(), "encrypted": encrypted(), "no files": make_zip({}),
    "above": make_zip({"../evil.py": "x"}), "above in the middle": make_zip({"a/../../evil.py": "x"}),
    "absolute": make_zip({"/etc/evil": "x"}), "only dots": make_zip({"..": "x"}),
    "link to a file of the host": linked("passwd", "/etc/passwd"), "link above": linked("up", "../../.."),
    "a file twice": twice(), "a file that is a folder": make_zip({"a": "x", "a/b": "y"}),
    "device": with_mode(stat.S_IFCHR | 0o644), "socket": with_mode(stat.S_IFSOCK | 0o600),
    "the same file twice": None,
}


@pytest.mark.parametrize("kind", [kind for kind in BAD_PACKAGES if BAD_PACKAGES[kind] is not None])
def test_a_package_that_cannot_be_is_refused_and_leaves_nothing(host, tmp_path_factory, kind):
    before = sorted(path for path in host.data.rglob("*") if path.is_file() and "db" not in path.name)
    answer = create_from(host, BAD_PACKAGES[kind])
    assert_refused(answer, 400, "InvalidParameterValueException")
    assert "zip" in answer.message.lower()
    assert host.request("GET", FUNCTIONS + "/made").status == 404
    after = sorted(path for path in host.data.rglob("*") if path.is_file() and "db" not in path.name)
    assert after == before
    assert not (host.data.parent / "evil.py").exists()


def test_a_package_with_far_too_many_files_is_refused(host):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for index in range(20_001):
            archive.writestr(f"f{index}", "")
    assert_refused(create_from(host, data.getvalue()), 400, "InvalidParameterValueException", "20000 files")


# MARK: manifests

@pytest.mark.parametrize("manifest, message", [
    ({"name": "m", "runtime": "python3", "colour": "red"}, "colour"),
    ({"name": "m", "runtime": "python3", "training": {"colour": "red"}}, "colour"),
    ({"runtime": "python3"}, "name"), ({"name": "m"}, "runtime"), ({"name": "m", "runtime": "cobol"}, "cobol"),
    ({"name": "m m", "runtime": "python3"}, "m m"), ({"name": "m", "runtime": "python3", "memory": "256"}, "memory"),
    ({"name": "m", "runtime": "python3", "memory": 1}, "memory"),
    ({"name": "m", "runtime": "python3", "timeout": 0}, "timeout"),
    ({"name": "m", "runtime": "python3", "model": "../up"}, "model"),
    ({"name": "m", "runtime": "python3", "environment": {"ROOST_TRAINS": "x"}}, "ROOST_TRAINS"),
    ({"name": "m", "runtime": "python3", "snapStart": True}, "snapStart"),
    ([], "manifest"), ("text", "manifest"),
], ids=str)
def test_a_manifest_with_a_mistake_names_it(host, manifest, message):
    answer = host.request("POST", "/roost/v1/deployments", {"Manifest": manifest, "Package": MISSING})
    assert_refused(answer, 400, "InvalidParameterValueException", message)


def test_a_deployment_of_what_is_not_stored(host):
    answer = host.request(
        "POST", "/roost/v1/deployments", {"Manifest": {"name": "m", "runtime": "python3"}, "Package": MISSING})
    assert answer.status in (400, 404) and answer.error in ("ResourceNotFoundException", "MissingFiles"), answer.body
    assert host.request("GET", FUNCTIONS + "/m").status == 404


# MARK: artifacts

def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def test_an_upload_is_kept_once_and_only_under_its_own_digest(host):
    content = os.urandom(300_000)
    path = "/roost/v1/artifacts/" + digest(content)
    assert_refused(host.request("PUT", path, content[:-1]), 400, "DigestMismatch")
    missing = {"Digests": [digest(content)]}
    assert host.request("POST", "/roost/v1/artifacts/missing", missing).json["Missing"] == missing["Digests"]
    # Eight at once, of which some are cut off: one is kept.
    def upload(index):
        with host.raw() as raw:
            raw.send(f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n")
            raw.send(content if index % 2 else content[:100_000])
            if index % 2:
                answers.append(raw.answer().status)

    answers = []
    threads = [threading.Thread(target=upload, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(answers) == 4 and set(answers) <= {200, 201}, answers
    assert host.request("POST", "/roost/v1/artifacts/missing", missing).json["Missing"] == []
    again = host.request("PUT", path, content)
    assert (again.status, again.json) == (200, {"Digest": digest(content), "SizeBytes": 300_000})
    wait_until(lambda: sum(1 for file in host.data.rglob("*") if file.is_file() and file.stat().st_size >= 100_000
                           and file.parent.name != "data" and "db" not in file.name) <= 1, "the halves to be gone")


@pytest.mark.parametrize("text, word", [
    ("nonsense\n", "1"), ("644 1 x y\n", "1"), ("../up\t644\t1\t" + "0" * 64 + "\n", "1"), ("\0", "1"),
])
def test_a_manifest_of_files_that_is_none(host, text, word):
    content = text.encode()
    answer = host.request("PUT", "/roost/v1/manifests/" + digest(content), content)
    assert_refused(answer, 400, "InvalidParameterValueException", word)
