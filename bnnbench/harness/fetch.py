"""Data sets that a plan lacks and that can be downloaded, with the size of each download."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bnnbench.harness import data, registry
from bnnbench.harness.data import Dataset
from bnnbench.harness.plan import Plan

PATIENCE = 4.0
"""Seconds within which all addresses have to answer."""


@dataclass(frozen=True)
class Offer:
    """The answer for one data set: the bytes to download (`None` where not stated), and what went wrong (or "")."""

    dataset: Dataset
    size: int | None
    trouble: str = ""


def lacking(plan: Plan) -> list[Dataset]:
    """The data sets of `plan` that this machine lacks, or has only a stand-in for, and that can be downloaded."""
    planned_sets = [(registry.dataset(name), planned) for name, planned in plan.data.items()]
    return [dataset for dataset, planned in planned_sets if data.is_fetchable(dataset, planned)]


def offers(datasets: Sequence[Dataset]) -> list[Offer]:
    """An offer for each data set; all addresses are asked at once, so that a network failure takes only seconds."""
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
    """The number of bytes at an address, `None` where the server does not state it, or a text on what is wrong."""
    import requests

    try:
        answer = requests.head(url, timeout=patience, allow_redirects=True)
    except OSError as error:  # errors of requests are also OSErrors
        return f"no answer ({type(error).__name__})"
    if answer.status_code in (404, 410):
        return f"HTTP {answer.status_code}"
    length = answer.headers.get("Content-Length", "") if answer.ok else ""  # some servers refuse HEAD but allow GET
    return int(length) if length.isdigit() else None


def _at_once(urls: Iterable[str], ask: Callable[[str, float], Any], patience: float) -> dict[str, Any]:
    """The answer for each address; threads that wait for an unresponsive name server are left behind."""
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
