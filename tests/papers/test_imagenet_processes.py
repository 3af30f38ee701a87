"""Several processes that compute one job together, started by torchrun as a user would; on real photographs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import environment
from PIL import Image

from bnnbench.data import DATASETS
from bnnbench.harness import config, data, history, paper, plan, registry

pytestmark = [pytest.mark.data, pytest.mark.slow]  # a start of torchrun takes some 12 CPU-seconds

JOB = "binarized/imagenet/alexnet-bnn"
TORCHRUN = [str(Path(sys.executable).parent / "torchrun"), "--standalone", "--nproc-per-node", "2", "-m", "bnnbench"]
ALONE = [sys.executable, "-m", "bnnbench"]
Curves = list[dict[str, Any]]
EPOCHS = 15  # of three batches


@pytest.fixture(scope="module")
def photographs() -> Path:
    """The folder that holds the sample of ImageNet."""
    root = Path(os.environ.get("BNNBENCH_DATA", "/nonexistent"))
    if {dataset.name: dataset for dataset in DATASETS}["imagenet-sample"].find(root) is None:
        pytest.skip("imagenet-sample is not in BNNBENCH_DATA")
    return root


def settings(folder: Path, data_dir: Path, **params: Any) -> dict[str, Any]:
    chosen = {"max_images": 48, "batch_size": 16, "epochs": EPOCHS, "precision": "float64", **params}
    return {"scale": "smoke", "papers": ["binarized"], "data": {"dir": str(data_dir)}, "results": str(folder),
            "params": {"binarized/imagenet": chosen}}  # fmt: skip


def start(program: list[str], content: dict[str, Any], folder: Path, *words: str, job: str = JOB) -> Any:
    folder.mkdir(exist_ok=True)
    command = [*program, "run", job, "--config", json.dumps(content), *words]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env={**environment(), "OMP_NUM_THREADS": "1"}, **pipes)


def finish(process: Any, timeout: float = 120) -> str:
    output: str = process.communicate(timeout=timeout)[0]
    return output


def folder_of(content: dict[str, Any], job: str = JOB) -> Path:
    made = plan.make(config.validate(content, "file"), "file")
    return made.folder(made.job(job))


def curves(content: dict[str, Any], job: str = JOB) -> Curves:
    rows = history.read(folder_of(content, job) / "history.jsonl").rows
    return [{k: v for k, v in row.items() if k not in ("time", "images_per_second")} for row in rows]


def assert_close(found: Curves, expected: Curves, tolerance: float) -> None:
    assert [row.keys() for row in found] == [row.keys() for row in expected]
    for row, other in zip(found, expected, strict=True):
        assert row == pytest.approx(other, rel=tolerance, abs=tolerance)


@pytest.fixture(scope="module")
def alone(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Curves:
    """The curves of one process in float64."""
    folder = tmp_path_factory.mktemp("alone")
    content = settings(folder, photographs)
    process = start(ALONE, content, folder)
    assert "ok" in finish(process)
    return curves(content)


def test_two_processes_give_the_result_of_one(photographs: Path, tmp_path: Path, alone: Curves) -> None:
    """In float64 to 1e-9, training a binarized net whose every sign could tell a difference."""
    content = settings(tmp_path, photographs)
    output = finish(start(TORCHRUN, content, tmp_path))
    assert output.count(f"{JOB}: ok") == 1
    assert_close(curves(content), alone, 1e-9)
    record = json.loads((folder_of(content) / "result.json").read_text())
    assert record["processes"] == 2
    assert record["seeds"][0]["metrics"]["top1_accuracy"] == alone[-1]["top1_accuracy"]
    again = finish(start(TORCHRUN, content, tmp_path))  # the result is there: nobody computes, nobody waits
    assert again.count(f"{JOB}: ok") == 1


def test_two_processes_give_the_result_of_one_in_float32(photographs: Path, tmp_path: Path) -> None:
    """Real-valued, to 1e-3: rounding errors of 1e-7 grow over the steps (signs would make jumps of them)."""
    job = "binarized/imagenet/alexnet-float-relu"
    found = []
    for program in (ALONE, TORCHRUN):
        content = settings(tmp_path / program[-1], photographs, precision="float32", epochs=3)
        assert "ok" in finish(start(program, content, tmp_path, job=job))
        found.append(curves(content, job))
        (tmp_path / program[-1]).rename(tmp_path / f"{len(found)}")
    assert_close(found[1], found[0], 1e-3)


def test_a_killed_process_ends_the_job_which_goes_on_from_its_checkpoint(
    photographs: Path, tmp_path: Path, alone: Curves
) -> None:
    """`kill -9` of the process that does not lead; then one process alone completes what two began."""
    content = settings(tmp_path, photographs)
    process = start(TORCHRUN, content, tmp_path, "--checkpoint-seconds", "0")
    checkpoint = folder_of(content) / "partial" / "seed-0.pt"
    wait_for(checkpoint.exists)
    ranks = {child.environ().get("RANK"): child for child in psutil.Process(process.pid).children()}
    killed = time.monotonic()
    ranks["1"].kill()
    output = finish(process, 60)
    assert time.monotonic() - killed < 30
    assert process.returncode != 0
    assert "SIGKILL" in output
    assert not (folder_of(content) / "result.json").exists()
    assert len(curves(content)) < len(alone)

    output = finish(start(ALONE, content, tmp_path))
    assert f"{JOB}: ok" in output
    record = json.loads((folder_of(content) / "result.json").read_text())
    assert record["seeds"][0]["resumed"] == 1
    assert_close(curves(content), alone, 1e-9)


def wait_for(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_image_that_one_process_cannot_decode_ends_them_all(tmp_path: Path) -> None:
    """The photograph is sound when the data set is verified and damaged afterwards, with its size unchanged."""
    for split in ("train", "val"):
        for i in range(8):
            path = tmp_path / "data" / "imagenet" / split / f"n0{i % 2}" / f"{i}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (90, 80), (30 * i, 10, 200)).save(path)
    content = settings(tmp_path, tmp_path / "data", dataset="imagenet", batch_size=8, max_images=8)
    chosen = config.validate(content, "file")
    found = data.record(registry.dataset("imagenet"), chosen)
    data.write_record(data.record_path(chosen, "imagenet", found.identity), found)
    bad = tmp_path / "data" / "imagenet" / "train" / "n01" / "3.JPEG"
    bad.write_bytes(b"x" * bad.stat().st_size)
    process = start(TORCHRUN, content, tmp_path)
    output = finish(process)
    assert process.returncode != 0
    assert f"bnnbench: {bad}: not a readable image" in output
    failure = json.loads((folder_of(content) / "failure.json").read_text())
    assert failure["reason"].startswith("process ")
    assert f"of 2: {bad}: not a readable image" in failure["reason"]


def test_an_experiment_for_one_process_refuses_more(photographs: Path, tmp_path: Path) -> None:
    assert not paper.get("binarized").declaration("mnist-mlp").parallel
    process = start(TORCHRUN, settings(tmp_path, photographs), tmp_path, job="binarized/mnist-mlp/bnn")
    assert "binarized/mnist-mlp/bnn is computed by one process: start it with `bnnbench run`" in finish(process)
    assert process.returncode != 0


def test_a_batch_that_cannot_be_dealt_out_is_refused(photographs: Path, tmp_path: Path) -> None:
    process = start(TORCHRUN, settings(tmp_path, photographs, batch_size=15), tmp_path)
    output = finish(process)
    assert "batch_size 15 cannot be dealt out evenly to 2 processes" in output
    assert process.returncode not in (0, -signal.SIGKILL)
