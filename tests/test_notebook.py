"""The names that a notebook uses, and the page that shows them."""

import doctest
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT

import bnnbench
from bnnbench.errors import UserError

pytestmark = pytest.mark.data


def test_the_page_on_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("data: {dir: null}\n")
    monkeypatch.delenv("BNNBENCH_DATA", raising=False)
    outcome = doctest.testfile(str(ROOT / "docs" / "python.md"), module_relative=False)
    assert outcome.attempted > 20
    assert outcome.failed == 0


def test_importing_costs_no_torch() -> None:
    loaded = "assert 'torch' {} sys.modules"
    code = f"import sys, bnnbench; dir(bnnbench); {loaded.format('not in')}; bnnbench.fit; {loaded.format('in')}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'bnnbench' has no attribute 'fits'"):
        bnnbench.fits  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("laplase", {}, "no method 'laplase'; did you mean 'laplace'?"),
        ("laplace", {"precisn": 1}, "method 'laplace': no key 'precisn'; did you mean 'precision'?"),
    ],
)
def test_a_mistake_is_one_line(method: str, options: dict[str, Any], said: str) -> None:
    net = torch.nn.Linear(2, 2)
    with pytest.raises(UserError) as error:
        bnnbench.fit(method, net, torch.zeros(4, 2), torch.zeros(4).long(), **options)
    assert str(error.value) == said


def test_arrays_are_taken_like_tensors() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 2)), rng.integers(0, 2, 60)
    net = torch.nn.Sequential(torch.nn.Linear(2, 2))
    options: dict[str, Any] = {"training": {"epochs": 2}}
    first = bnnbench.measure(bnnbench.fit("map", net, x, y, **options), x, y)
    tensors = torch.from_numpy(x).float(), torch.from_numpy(y)
    assert first == bnnbench.measure(bnnbench.fit("map", net, *tensors, **options), *tensors)


def test_results_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"results\.parquet: no such file; run the workflow \(snakemake\), or name"):
        bnnbench.results(tmp_path)
