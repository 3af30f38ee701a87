"""Options of methods are checked when the plan is made, once."""

from pathlib import Path
from typing import Any

import pytest

from bnnbench.errors import UserError
from bnnbench.harness import config, options, plan, registry
from bnnbench.harness.options import Asked

pytestmark = pytest.mark.data


def asked(**given: Any) -> Asked:
    return Asked("toy/walk/plain", "laplace", given, "code")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"precisn": 3.0}, "no key 'options.precisn'; did you mean 'precision'?"),
        ({"precision": -1.0}, "options.precision"),
        ({"training": {"epochs": "many"}}, "options.training.epochs is 'many'"),
        ({"structure": "fulll"}, "options.structure 'fulll' is not one of"),
    ],
)
def test_a_mistake_names_job_method_and_option(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=r"^toy/walk/plain: method 'laplace': ") as error:
        options.check([asked(**given)], tmp_path)
    assert said in str(error.value)
    assert not list(tmp_path.iterdir())  # what is wrong is not remembered


def test_what_was_right_is_remembered_until_options_or_code_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options.check([asked(precision=3.0)], tmp_path)

    def imported(name: str) -> Any:
        raise AssertionError(f"{name} was imported")

    monkeypatch.setattr(registry, "method", imported)
    options.check([asked(precision=3.0)], tmp_path)
    options.check([], tmp_path)
    with pytest.raises(AssertionError):
        options.check([asked(precision=4.0)], tmp_path)
    with pytest.raises(AssertionError):
        options.check([Asked("toy/walk/plain", "laplace", {"precision": 3.0}, "other code")], tmp_path)


def test_a_cache_that_cannot_be_written_costs_no_plan(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    options.check([asked(precision=3.0)], tmp_path / "file" / "options")


def test_the_plan_checks_options_before_a_net_is_trained() -> None:
    added = {"refinement/fmnist": {"mine": {"method": "refine", "options": {"lenght": 3}}}}
    chosen = {"scale": "smoke", "papers": ["refinement"], "add_variants": added}
    with pytest.raises(UserError, match=r"refinement/fmnist/mine: method 'refine': no key 'options.lenght'; did you"):
        plan.make(config.validate(chosen, "file"), "file")
