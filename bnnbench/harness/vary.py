"""A claim under each value on which paper and released code disagree: `choices` in `paper.yaml`, one at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from bnnbench.errors import UserError
from bnnbench.harness import claim as claims
from bnnbench.harness import paper, verdicts
from bnnbench.harness.claim import Claim, Evidence
from bnnbench.harness.collect import Results
from bnnbench.harness.config import Config, merged, nested, unknown
from bnnbench.harness.paper import Choice
from bnnbench.harness.plan import Job, Plan, make


@dataclass(frozen=True)
class Planned:
    """A claim with its jobs under the configuration, and its verdict from their results."""

    claim: Claim
    plan: Plan
    evidence: Evidence

    @property
    def variants(self) -> set[str]:
        """The variants that the claim compares, as `paper/experiment/variant`."""
        quantities = [comparison.interval.of for comparison in self.evidence.comparisons]
        return {variant for quantity in quantities if quantity is not None for variant in quantity.variants}


@dataclass(frozen=True)
class Alternative:
    """One value of a parameter of some variants, the source `whose` value it is, and the plan that has it."""

    choice: Choice
    whose: str
    plan: Plan

    @property
    def text(self) -> str:
        """The parameter, its value, and the source of the value."""
        value = self.choice.alternatives[self.whose]
        return f"{self.choice.parameter} = {value} ({self.whose}; {self.choice.source})"

    def jobs(self, planned: Planned) -> Iterator[tuple[Job, Plan]]:
        """The jobs of the claim's variants: from this alternative's plan where it concerns them, else as configured."""
        concerned = {job.id: job for job in self.plan.jobs}
        for job in planned.plan.jobs:
            if f"{job.paper}/{job.experiment}/{job.variant}" in planned.variants:
                yield (concerned[job.id], self.plan) if job.id in concerned else (job, planned.plan)

    def missing(self, planned: Planned) -> list[tuple[Config, list[Path]]]:
        """The results that are not computed yet, with the configurations that compute them."""
        jobs = []
        for plan in (planned.plan, self.plan):
            paths = [plan.result(job) for job, of in self.jobs(planned) if of is plan]
            if wanted := [path for path in paths if not path.exists()]:
                jobs.append((plan.config, wanted))
        return jobs

    def judge(self, planned: Planned) -> Evidence:
        """The verdict on the claim with this value."""
        mixed = replace(planned.plan, jobs=tuple(job for job, _ in self.jobs(planned)))
        return claims.judge(planned.claim, Results.gathered(mixed, planned.claim.experiments))


def as_planned(config: Config, where: str, name: str) -> Planned:
    """The claim `paper/claim`, judged by the results of the configured seeds; `UserError` if it cannot be judged."""
    known = {f"{paper_name}/{one.name}": one for paper_name in paper.names() for one in verdicts.claims(paper_name)}
    if name not in known:
        raise UserError(unknown("claim", name, list(known)))
    chosen = known[name]
    limited = config.model_copy(update={"papers": "all", "experiments": list(chosen.experiments)})
    plan = _of_configured_seeds(make(limited, where))
    evidence = claims.judge(chosen, Results.gathered(plan, chosen.experiments))
    if evidence.verdict == "not run":
        raise UserError(f"{name} is not judged yet ({evidence.text}); run the workflow (snakemake) first")
    return Planned(chosen, plan, evidence)


def choices(planned: Planned) -> list[Alternative]:
    """Every alternative that concerns variants that the claim compares."""
    every = [one for experiment in planned.claim.experiments for one in alternatives(planned.plan, experiment)]
    return [one for one in every if any(of is one.plan for _, of in one.jobs(planned))]


def alternatives(plan: Plan, experiment: str) -> Iterator[Alternative]:
    """The alternatives of the planned variants of an experiment (`paper/name`), each planned.

    `UserError` that names the choice in `paper.yaml` for a parameter or value that the experiment does not have.
    """
    paper_name, _, short = experiment.partition("/")
    planned = {job.variant for job in plan.jobs if f"{job.paper}/{job.experiment}" == experiment}
    for name, choice in paper.get(paper_name).spec.experiments[short].choices.items():
        variants = [one for one in planned if any(fnmatchcase(one, pattern) for pattern in choice.variants or ["*"])]
        for whose, value in choice.alternatives.items() if variants else ():
            change = {experiment: nested(choice.parameter, value)}
            settings = {"params": merged(plan.config.params, change), "experiments": [experiment]}
            config = plan.config.model_copy(update={**settings, "variants": choice.variants})
            yield Alternative(
                choice, whose, _of_configured_seeds(make(config, f"{paper_name}/paper.yaml: {short}: {name}"))
            )


def _of_configured_seeds(plan: Plan) -> Plan:
    return replace(plan, jobs=tuple(job for job in plan.jobs if not job.is_added), stages=())
