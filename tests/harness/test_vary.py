"""A claim under each choice: which jobs are other ones, what is computed anew, and what is no choice."""

from pathlib import Path

import pytest
from conftest import forget_registered

from bnnbench.errors import UserError
from bnnbench.harness import config, execute, vary
from bnnbench.harness.config import Config
from bnnbench.harness.plan import make

CHOICES = """
    choices:
      shift: {parameter: shift, alternatives: {paper: 2.0, code: 0.5}, source: Table 1, variants: [shifted]}
"""


def chosen(tmp_path: Path, **changes: object) -> Config:
    return config.validate({"scale": "smoke", "results": str(tmp_path / "results"), **changes}, "file")


def with_choices(toy: Path, text: str = CHOICES) -> None:
    path = toy / "toy_paper" / "paper.yaml"
    before = path.read_text()
    path.write_text(before.replace("    variants:\n", f"{text.lstrip(chr(10))}    variants:\n", 1))
    forget_registered()


def judged(settings: Config) -> vary.Planned:
    """The claim with the results of its experiment computed."""
    made = make(settings.model_copy(update={"experiments": ["toy/walk"]}), "file")
    for job in made.jobs:
        execute.execute(made, job)
    return vary.as_planned(settings, "file", "toy/shift-shows")


def test_each_choice_is_judged_with_its_own_jobs_beside_the_others(toy: Path, tmp_path: Path) -> None:
    with_choices(toy)
    planned = judged(chosen(tmp_path))
    assert planned.evidence.verdict == "reproduced"
    found = vary.choices(planned)
    assert [one.text for one in found] == ["shift = 2.0 (paper; Table 1)", "shift = 0.5 (code; Table 1)"]
    paper, code = found
    assert paper.missing(planned) == [], "it is what is planned: the same keys, and nothing to compute"
    assert paper.judge(planned) == planned.evidence
    assert code.judge(planned).verdict == "not run"
    ((settings, paths),) = code.missing(planned)
    assert settings == code.plan.config
    (job,) = [job for job, of in code.jobs(planned) if of is code.plan]
    assert job.variant == "shifted", "the other variant stays as it is planned"
    assert paths == [code.plan.result(job)]
    execute.execute(code.plan, job)
    assert code.missing(planned) == []
    evidence = code.judge(planned)
    assert evidence.verdict == "contradicted"
    assert "0.500 m" in evidence.text
    assert vary.as_planned(chosen(tmp_path), "file", "toy/shift-shows").evidence == planned.evidence


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("parameter: shift", "parameter: shft", r"toy/paper.yaml: walk: shift: .*no key .*shft.*'shift'"),
        ("0.5}", "far}", r"toy/paper.yaml: walk: shift: .*shift"),
        ("parameter: shift", 'parameter: "shift."', r"toy/paper.yaml: experiments\.walk\.choices\.shift\.parameter"),
        ("{paper: 2.0, code: 0.5}", "{paper: 2.0}", r"toy/paper.yaml: experiments\.walk\.choices\.shift\.alternatives"),
        (", source: Table 1", "", r"toy/paper.yaml: experiments\.walk\.choices\.shift\.source is missing"),
    ],
)
def test_what_is_no_choice_is_one_line(toy: Path, tmp_path: Path, old: str, new: str, said: str) -> None:
    planned = judged(chosen(tmp_path))
    with_choices(toy, CHOICES.replace(old, new))
    with pytest.raises(UserError, match=said) as caught:
        vary.choices(planned)
    assert "\n" not in str(caught.value)


def test_an_unknown_claim_and_one_without_results_are_one_line(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'toy/shift-shows'"):
        vary.as_planned(chosen(tmp_path), "file", "toy/shift-show")
    with pytest.raises(UserError, match=r"not judged yet .*not computed yet"):
        vary.as_planned(chosen(tmp_path), "file", "toy/shift-shows")
