"""What a plan lacks and the network has: the data sets with an official address, and how much each would load."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bnnbench.harness import data, registry
from bnnbench.harness.data import Dataset
from bnnbench.harness.plan import Plan

PATIENCE = 4.0
"""Seconds in which all addresses together have to answer."""


@dataclass(frozen=True)
class Offer:
    """What the address of one data set answered: the bytes to load, `None` where it does not say; or why not."""

    dataset: Dataset
    size: int | None
    trouble: str = ""


def lacking(plan: Plan) -> list[Dataset]:
    """The data sets that `plan` uses and this machine lacks, or has a stand-in for, and that have an address."""
    planned_sets = [(registry.dataset(name), planned) for name, planned in plan.data.items()]
    return [dataset for dataset, planned in planned_sets if data.is_fetchable(dataset, planned)]


def offers(datasets: Sequence[Dataset]) -> list[Offer]:
    """What the addresses of each data set offer; asked all at once, so that a dead network takes seconds."""
    urls = {dataset.name: [one.url for one in getattr(dataset, "downloads", ())] for dataset in datasets}
    answers = _at_once([url for listed in urls.values() for url in listed], _size, PATIENCE)
    return sorted(
        (_offer(dataset, [answers[url] for url in urls[dataset.name]]) for dataset in datasets),
        key=lambda offer: (offer.size is None, offer.size or 0),
    )


def _offer(dataset: Dataset, answers: list[int | str | None]) -> Offer:
    trouble = next((answer for answer in answers if isinstance(answer, str)), "")
    sizes = [answer for answer in answers if isinstance(answer, int)]
    return Offer(dataset, sum(sizes) if sizes and len(sizes) == len(answers) else None, trouble)


def _size(url: str, patience: float) -> int | str | None:
    """The bytes at an address, without loading them; `None` where it does not say, a text where it has nothing."""
    import requests

    try:
        answer = requests.head(url, timeout=patience, allow_redirects=True)
    except OSError as error:  # also every error of requests
        return f"no answer ({type(error).__name__})"
    if answer.status_code in (404, 410):
        return f"HTTP {answer.status_code}"
    length = answer.headers.get("Content-Length", "") if answer.ok else ""  # some refuse to be asked, and then give
    return int(length) if length.isdigit() else None


def _at_once(urls: Iterable[str], ask: Callable[[str, float], Any], patience: float) -> dict[str, Any]:
    """The answer for each address; nobody waits for threads that a silent name server keeps."""
    answers = dict.fromkeys(urls, f"no answer in {patience:g} s")

    def run(url: str) -> None:
        answers[url] = ask(url, patience)

    threads = [threading.Thread(target=run, args=(url,), daemon=True) for url in answers]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + patience
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0.0))
    return dict(answers)
