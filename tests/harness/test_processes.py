"""A process's place in a team, and what those that do not lead leave alone (tests/papers runs whole teams)."""

from pathlib import Path

import pytest

from bnnbench.errors import Diverged, UserError
from bnnbench.harness import device
from bnnbench.harness.processes import ALONE, Team, joined, named_losses, team
from bnnbench.harness.run import Run


def test_torchrun_says_which_process_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert team() == ALONE  # SLURM and MPI launchers set such names too
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    assert team() == Team(rank=5, size=8, here=4)


def test_one_process_shares_with_itself() -> None:
    with joined(ALONE, "cpu"):
        assert ALONE.share([1, 2]) == [1, 2]


def test_only_the_leader_writes_but_all_notice_a_divergence(tmp_path: Path) -> None:
    leader, other = (
        Run(0, "cpu", tmp_path, lambda name: None, checkpoint_seconds=0, team=Team(rank, 2, 2)) for rank in (0, 1)
    )
    other.log(1, loss=1.0)
    other.checkpoint(1, lambda: {"x": 1})
    with pytest.raises(Diverged, match="loss is nan"):
        other.log(2, loss=float("nan"))
    assert list(tmp_path.iterdir()) == []
    leader.log(1, loss=1.0)
    leader.checkpoint(1, lambda: {"x": 1})
    leader.log(2, loss=2.0)
    written = (tmp_path / "history.jsonl").read_text()
    reader = Run(0, "cpu", tmp_path, lambda name: None, team=Team(1, 2, 2))
    assert reader.restore() == (1, {"x": 1})
    assert (tmp_path / "history.jsonl").read_text() == written


@pytest.mark.parametrize(
    "said",
    ["[../gloo/transport/tcp/pair.cc:537] Read error: Connection reset by peer", "NCCL communicator was aborted"],
)
def test_a_lost_connection_is_one_line(said: str) -> None:
    with pytest.raises(UserError, match="another process of this job has ended"), named_losses():
        raise RuntimeError(said)
    with pytest.raises(RuntimeError, match="out of memory"), named_losses():
        raise RuntimeError("CUDA out of memory")


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "visible_gpus", lambda: ["0"])
    with pytest.raises(UserError, match="2 processes and 1 GPUs here"), device.gpu(processes=2):
        pass
