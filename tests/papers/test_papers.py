"""What holds for every registered paper."""

import ast
from pathlib import Path
from typing import Any

import pytest
from conftest import record_data

from bnnbench.harness import collect, config, drawing, execute, paper, plan, vary, verdicts
from bnnbench.harness.claim import judge
from bnnbench.harness.collect import Results
from bnnbench.harness.config import SCALES

pytestmark = pytest.mark.data

PAPERS = paper.names()


def smoke(tmp_path: Path, name: str) -> plan.Plan:
    chosen = {"papers": [name], "scale": "smoke", "results": str(tmp_path / "results")}
    return plan.make(config.validate(chosen, "file"), "file")


@pytest.mark.parametrize("name", PAPERS)
def test_published_numbers_are_well_formed_and_of_known_experiments(name: str) -> None:
    publication = paper.get(name)
    rows = publication.published()
    assert rows
    keys = [(row.experiment, row.variant, row.metric, row.model, row.dataset) for row in rows]
    assert len(set(keys)) == len(keys), "a number stands twice"
    for row in rows:
        if row.variant:
            variant, *cell = row.variant.split(",")
            assert variant in publication.spec.experiments[row.experiment].variants
            assert [part.partition("=")[0] for part in cell] == list(publication.spec.experiments[row.experiment].grid)
            declared = publication.declaration(row.experiment).metrics
            units = {metric.name: metric.unit for metric in declared}
            assert units[row.metric] == row.unit


@pytest.mark.parametrize("name", PAPERS)
def test_claims_and_figures_name_what_exists(name: str) -> None:
    known = {
        f"{publication}/{experiment}"
        for publication in PAPERS
        for experiment in paper.get(publication).spec.experiments
    }
    claims = verdicts.claims(name)
    assert len({claim.name for claim in claims}) == len(claims) >= 1
    needed = [(claim.experiments, claim.source) for claim in claims]
    needed += [(figure.experiments, figure.source) for figure in drawing.figures(name).values()]
    for experiments, source in needed:
        assert set(experiments) <= known
        assert source


@pytest.mark.usefixtures("data_read_once")
@pytest.mark.parametrize("name", PAPERS)
def test_every_experiment_runs_at_smoke_scale_and_reports_what_it_declares(name: str, tmp_path: Path) -> None:
    made = smoke(tmp_path, name)
    available = [job for job in made.jobs if not job.skip]
    assert available
    assert all("is not on this machine" in job.skip for job in made.jobs if job.skip)
    record_data(made)
    for job in available:
        record = execute.execute(made, job)
        if job.skip:
            assert (record.status, record.reason) == ("skipped", job.skip)
            assert "is not on this machine" in job.skip
            continue
        assert record.status == "ok", f"{job.id}: {record.reason}"
        declared = {metric.name for metric in paper.get(name).declaration(job.experiment).metrics}
        assert all(seed.metrics.keys() <= declared for seed in record.seeds)
        assert len(record.datasets) == len(job.datasets)
        assert all(len(data.checksum) == 64 for data in record.datasets)
    for experiment in collect.experiments(made):
        collect.collect(made, experiment)
    ran = {f"{job.paper}/{job.experiment}" for job in available}
    read = {name for job in available for name in job.datasets if made.data[name].provenance != "bundled"}
    beside = read - {name for job in available for name in job.params.datasets()}
    for figure, declared_figure in drawing.figures(name).items():
        drawing.draw(made, name, figure)
        text = " ".join(drawing.path(made, name, figure).read_text().split())
        lacks_data = not beside and "is on this machine as data beside" in text
        assert "Not drawn" not in text or lacks_data or not ran & set(declared_figure.experiments)
    verdicts.write(made, name)


@pytest.mark.parametrize("name", PAPERS)
def test_every_choice_between_paper_and_code_can_be_planned(name: str, tmp_path: Path) -> None:
    for scale in SCALES:
        chosen = {"papers": [name], "scale": scale, "results": str(tmp_path / "results")}
        made = plan.make(config.validate(chosen, "file"), "file")
        for experiment in collect.experiments(made):
            keys = [{job.key for job in one.plan.jobs} for one in vary.alternatives(made, experiment)]
            assert all(keys)


@pytest.mark.parametrize("name", PAPERS)
def test_claims_over_nothing_are_not_run(name: str, tmp_path: Path) -> None:
    chosen = {"papers": [name], "scale": "laptop", "results": str(tmp_path / "results")}
    made = plan.make(config.validate(chosen, "file"), "file")
    for claim in verdicts.claims(name):
        assert judge(claim, Results.load(made, claim.experiments)).verdict == "not run"


@pytest.mark.parametrize("name", PAPERS)
def test_experiments_are_planned_without_torch(name: str) -> None:
    """An experiment's module imports torch and the like inside its function: planning takes milliseconds."""
    heavy = {"torch", "numpy", "pandas", "scipy", "sklearn", "matplotlib", "jax", "mlflow"}
    publication = paper.get(name)
    own = f"{publication.package}."
    computed_by = {publication.module(experiment) for experiment in publication.spec.experiments}
    modules = [module.removeprefix(own) for module in computed_by if module.startswith(own)] + ["claims", "figures"]
    places = [publication.folder.joinpath(*module.split(".")) for module in modules]
    for path in [
        file for place in places for file in (place.glob("*.py") if place.is_dir() else [place.with_suffix(".py")])
    ]:
        for node in ast.parse(path.read_text()).body:
            names: list[Any] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not heavy & {name.partition(".")[0] for name in names}, f"{path}: {names}"
