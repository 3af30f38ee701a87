"""The method that docs/bayes.md shows: at most 40 lines, and measured on a table by the study."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from bnnbench.data.content import Table
from bnnbench.data.tables import standard_splits
from bnnbench.evaluation.studies.tables import tables as study
from bnnbench.evaluation.table_params import TablePosterior
from bnnbench.harness import registry
from bnnbench.harness.run import Run


def plane(n: int = 120) -> Table:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 2))
    y = 3 + 2 * x[:, 0] - x[:, 1] + 0.5 * rng.standard_normal(n)
    return Table(x, y, standard_splits(n, 2), ("a", "b"), "y")


def test_the_method_of_the_docs_learns_noise_under_its_own_prior(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / "bayes.md").read_text()
    (code,) = re.findall(r"```python\n(# mymethods/fan_in\.py\n.*?)```", text, re.DOTALL)
    assert len(code.splitlines()) <= 40
    names: dict[str, Any] = {}
    exec(compile(code, "docs/bayes.md", "exec"), names)
    known = {"fan-in": SimpleNamespace(load=lambda: names["fan_in"], value="docs:fan_in", module="docs")}
    monkeypatch.setattr(registry, "methods", lambda: known)
    params = TablePosterior(dataset="plane", method="fan-in", options={"members": 2}, widths=(8,))
    found = study(params, Run(0, "cpu", tmp_path, lambda name: plane())).metrics
    assert found["rmse"] == pytest.approx(0.5, rel=0.5)
    assert found["width_95"] == pytest.approx(2 * 1.96 * 0.5, rel=0.4)
