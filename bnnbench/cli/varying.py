"""`bnnbench vary`: a claim under each choice that paper and released code leave open."""

from collections.abc import Callable

from bnnbench.cli import workflow
from bnnbench.errors import UserError
from bnnbench.harness import vary
from bnnbench.harness.config import Config


def run(config: Config, where: str, name: str, say: Callable[[str], None]) -> None:
    """Computes what is missing of each choice, judges the claim, and says whether its verdict stands.

    `UserError` where there is no choice, or where the claim is not judged yet as it is planned.
    """
    planned, verdicts = vary.as_planned(config, where, name), {}
    say(f"{name} as planned: {planned.evidence.verdict}: {planned.evidence.text}")
    choices = vary.choices(planned)
    if not choices:
        raise UserError(f"{name}: paper.yaml names no choice (`choices`) for the variants that it compares")
    for choice in choices:
        for settings, results in choice.missing(planned):
            workflow.compute(settings, results)
        evidence = choice.judge(planned)
        verdicts[choice.text] = evidence.verdict
        say(f"with {choice.text}: {evidence.verdict}: {evidence.text}")
    others = {text: verdict for text, verdict in verdicts.items() if verdict != planned.evidence.verdict}
    if others:
        listed = "; ".join(f"{verdict} with {text}" for text, verdict in others.items())
        say(f"the verdict does not stand: {planned.evidence.verdict} as planned, {listed}")
    else:
        say(f"the verdict stands under all {len(verdicts)} choices, one at a time: {planned.evidence.verdict}")
