"""Judging the claims of a paper from the collected tables."""

from pathlib import Path
from typing import Any

from bnnbench.errors import UserError
from bnnbench.harness import paper, power
from bnnbench.harness.claim import ORIGINS, VERDICTS, Claim, Evidence, judge
from bnnbench.harness.collect import Results
from bnnbench.harness.files import read_json, seal, write_json
from bnnbench.harness.plan import Plan

CHAINS = "chains: "  # the beginning of warnings about chains


def claims(name: str) -> list[Claim]:
    """The claims that the paper `name` declares, in the order of its experiments."""
    return paper.get(name).declared("claims", Claim)


def path(plan: Plan, name: str) -> Path:
    """The file with the verdicts on a paper's claims."""
    return plan.config.folder() / "claims" / f"{name}.json"


def results(plan: Plan, name: str, claim: Claim) -> Results:
    """The results by which a claim of the paper `name` is judged, with the claim's first stages."""
    loaded = Results.load(plan, claim.experiments)
    return loaded.settled(stage for stage in plan.stages if stage.claim == f"{name}/{claim.name}")


def record(name: str, claim: Claim, results: Results) -> dict[str, Any]:
    """The verdict on a claim of the paper `name`, what would decide it, and the stand-ins for data that it used."""
    evidence = judge(claim, results)
    return {
        "name": claim.name,
        "statement": claim.statement,
        "source": claim.source,
        "origin": claim.origin,
        "experiments": list(claim.experiments),
        "verdict": evidence.verdict,
        "text": evidence.text + _doubt(results, evidence),
        "power": "; ".join(need.text for need in power.needs(name, claim, results, evidence)),
        "stand_ins": results.stand_ins() if evidence.verdict != "not run" else [],
    }


def _doubt(results: Results, evidence: Evidence) -> str:
    """A remark that names the compared variants whose warnings report chains beyond their bounds; empty without any."""
    quantities = [comparison.interval.of for comparison in evidence.comparisons]
    compared = dict.fromkeys((of.experiment, name) for of in quantities if of is not None for name, _ in of.operands)
    doubted = [name for place, name in compared if any(CHAINS in text for text in results.warnings(place, name))]
    return f"; beware: chains of {', '.join(doubted)} are beyond their bounds" if doubted else ""


def write(plan: Plan, name: str) -> None:
    """Writes one record for each claim, with its verdict and evidence."""
    write_json(path(plan, name), [record(name, claim, results(plan, name, claim)) for claim in claims(name)])
    seal(path(plan, name))


def read(path: Path) -> list[dict[str, Any]]:
    """The records that `write` made; `UserError` for a file that does not hold such records."""
    try:
        records = read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a list of verdicts ({error}); delete it and run: snakemake") from error
    if not isinstance(records, list) or not all(_is_verdict(record) for record in records):
        raise UserError(f"{path}: not a list of verdicts; delete it and run: snakemake")
    return records


def _is_verdict(record: Any) -> bool:
    texts, lists = ("name", "statement", "source", "text", "power"), ("experiments", "stand_ins")
    return (
        isinstance(record, dict)
        and record.keys() == {*texts, *lists, "verdict", "origin"}
        and all(isinstance(record[name], str) for name in texts)
        and all(isinstance(record[name], list) and all(isinstance(one, str) for one in record[name]) for name in lists)
        and record["verdict"] in VERDICTS
        and record["origin"] in ORIGINS
    )
