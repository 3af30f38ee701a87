"""Data that a plan lacks, downloaded where the network gives them; whatever goes wrong is said and left."""

import sys
from collections.abc import Callable

from bnnbench.errors import DataError, UserError
from bnnbench.harness import data
from bnnbench.harness import fetch as offered
from bnnbench.harness.fetch import Offer
from bnnbench.harness.plan import Plan


def fetch(plan: Plan, say: Callable[[str], None], hint: str = "") -> bool:
    """Downloads into the cache what `plan` lacks; says how much, and what is left. Returns whether anything came.

    A network without an answer costs some seconds and one line. After a download that breaks off no other is tried.
    """
    offers = offered.offers(offered.lacking(plan))
    there = [offer for offer in offers if not offer.trouble]
    for trouble in dict.fromkeys(offer.trouble for offer in offers if offer.trouble):
        names = ", ".join(offer.dataset.name for offer in offers if offer.trouble == trouble)
        say(f"data that cannot be fetched: {names}: {trouble}")
    if there:
        listed = ", ".join(f"{offer.dataset.name} ({_size(offer.size)})" for offer in there)
        total = _size(sum(offer.size or 0 for offer in there))
        say(f"fetching {listed}: {total} in all into {plan.config.cache_dir()}{hint}")
    return _download(plan, there, say)


def _download(plan: Plan, offers: list[Offer], say: Callable[[str], None]) -> bool:
    came = False
    for offer in offers:
        try:
            offer.dataset.fetch(data.places(plan.config), progress=sys.stderr.isatty())
        except DataError as error:  # what came is not what was published; the next may be
            say(f"bnnbench: {error}")
        except UserError as error:
            say(f"bnnbench: {error}; no other data are fetched now")
            return came
        else:
            came = True
            say(f"{offer.dataset.name}: fetched and verified")
    return came


def _size(size: int | None) -> str:
    if size is None:
        return "size unknown"
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
