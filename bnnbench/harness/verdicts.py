"""The claims of a paper judged over the collected tables."""

from pathlib import Path
from typing import Any

from bnnbench.errors import UserError
from bnnbench.harness import paper
from bnnbench.harness.claim import VERDICTS, Claim, judge
from bnnbench.harness.collect import Results
from bnnbench.harness.files import read_json, seal, write_json
from bnnbench.harness.plan import Plan


def claims(name: str) -> list[Claim]:
    """The claims that the paper `name` declares, in the order of its experiments."""
    return paper.get(name).declared("claims", Claim)


def path(plan: Plan, name: str) -> Path:
    """Where the verdicts on a paper's claims are kept."""
    return plan.config.folder() / "claims" / f"{name}.json"


def write(plan: Plan, name: str) -> None:
    """Writes one record a claim with its verdict and evidence."""
    verdicts = [judge(claim, Results.load(plan, claim.experiments)) for claim in claims(name)]
    write_json(path(plan, name), verdicts)
    seal(path(plan, name))


def read(path: Path) -> list[dict[str, Any]]:
    """The records that `write` made; `UserError` for a file that holds none."""
    try:
        records = read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a list of verdicts ({error}); delete it and run: snakemake") from error
    if not isinstance(records, list) or not all(_is_verdict(record) for record in records):
        raise UserError(f"{path}: not a list of verdicts; delete it and run: snakemake")
    return records


def _is_verdict(record: Any) -> bool:
    texts = ("name", "statement", "source", "text")
    return (
        isinstance(record, dict)
        and record.keys() == {*texts, "experiments", "verdict"}
        and all(isinstance(record[name], str) for name in texts)
        and isinstance(record["experiments"], list)
        and record["verdict"] in VERDICTS
    )
