"""The processes that compute one job together, started by torchrun; usually there is only one.

Each runs the same code on its part of every batch. The first one (rank 0) leads: it holds the job's lock, decides what
is computed, and is the only one that writes results.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from bnnbench.errors import UserError

T = TypeVar("T")

# This may be long: a process that ends is noticed at once, and a leader may verify a large data set or wait for a lock.
PATIENCE = timedelta(days=1)


@dataclass(frozen=True)
class Team:
    """This process's place among those that compute the job."""

    rank: int = 0
    size: int = 1
    here: int = 1
    """How many of the processes are on this machine."""

    def share(self, value: T) -> T:
        """The leader's `value`, in every process."""
        if self.size == 1:
            return value
        import torch
        from torch import distributed

        box = [value]
        distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]


ALONE = Team()


def team() -> Team:
    """The place that torchrun gave this process; without torchrun, a team of one."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:  # other launchers set RANK for other purposes
        return ALONE
    return Team(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")))


@contextmanager
def joined(team: Team, device: str) -> Iterator[None]:
    """Connects the processes, for `Team.share` and for the experiment's own exchanges.

    After an error the processes do not disconnect: this process ends, and torchrun ends the others.
    """
    if team.size == 1:
        yield
        return
    from torch import distributed

    distributed.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo", timeout=PATIENCE)
    yield
    distributed.destroy_process_group()


@contextmanager
def named_losses() -> Iterator[None]:
    """Turns errors of Gloo or NCCL about a lost connection into one line; the lost process itself reports the cause."""
    try:
        yield
    except RuntimeError as error:
        if not re.search("gloo|nccl", str(error), re.IGNORECASE):
            raise
        raise UserError(
            "another process of this job has ended (its own error is above, unless it was killed)"
        ) from error
