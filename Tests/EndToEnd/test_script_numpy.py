"""A numpy script for SageMaker's script mode, as its users write them, with numpy beside it in the package."""

import json
import shutil
from pathlib import Path

import numpy

from roost_host import RoostHost

SCRIPT = '''
import argparse
import os

import numpy as np


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model-dir", type=str, default=os.environ.get("SM_MODEL_DIR", "/opt/ml/model"))
    parser.add_argument("--train", type=str, default=os.environ.get("SM_CHANNEL_TRAIN"))
    return parser.parse_known_args()[0]


if __name__ == "__main__":
    args = parse_args()
    data = np.loadtxt(os.path.join(args.train, "points.csv"), delimiter=",")
    x, y = data[:, :-1], data[:, -1]
    weights = np.random.default_rng(args.seed).normal(size=x.shape[1])
    for epoch in range(args.epochs):
        error = x @ weights - y
        weights -= args.learning_rate * x.T @ error / len(y)
        print(f"[{epoch + 1}/{args.epochs}] train_loss={np.mean(error ** 2):.8f}", flush=True)
    np.save(os.path.join(args.model_dir, "weights.npy"), weights)
'''
INFER = '''
import os
import numpy as np

WEIGHTS = np.load(os.environ["ROOST_MODEL_DIR"] + "/weights.npy") if "ROOST_MODEL_DIR" in os.environ else None


def handler(event, context):
    return (np.array(event) @ WEIGHTS).tolist()
'''


def test_a_numpy_script_trains_without_a_change(tmp_path):
    folder, data = tmp_path / "linear", tmp_path / "data"
    folder.mkdir()
    data.mkdir()
    site = Path(numpy.__file__).resolve().parents[1]
    for name in ("numpy", "numpy.libs"):
        shutil.copytree(site / name, folder / name, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    (folder / "train.py").write_text(SCRIPT)
    (folder / "inference.py").write_text(INFER)
    (folder / "function.json").write_text(json.dumps({
        "name": "linear", "runtime": "python3", "handler": "inference.handler",
        "training": {"handler": "train.py", "metrics": [
            {"name": "train:loss", "regex": "train_loss=([0-9.]+)"},
            {"name": "roost:fraction", "regex": r"\[(\d+)/(\d+)\]"}]}}))
    x = numpy.random.default_rng(7).normal(size=(200, 3))
    numpy.savetxt(data / "points.csv", numpy.column_stack([x, x @ [1.0, -2.0, 0.5]]), delimiter=",")
    with RoostHost(tmp_path / "host") as host:
        host.roost("deploy", folder)
        trained = json.loads(host.roost(
            "train", "linear", "-d", '{"epochs": 300, "learning-rate": 0.2}', "--channel", f"train={data}",
            "--promote", "live", "--json").splitlines()[-1])
        assert host.versions("linear")[-1]["Lineage"]["metrics"]["train:loss"] < 1e-6, trained
        answer = host.invoke("linear", [[1, 0, 0], [0, 1, 0], [0, 0, 1]], qualifier="live")
        assert numpy.allclose(answer.json, [1, -2, 0.5], atol=1e-3)
