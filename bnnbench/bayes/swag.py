"""SWAG: a normal distribution fitted to the path of SGD with a constant rate (Maddox et al. 2019)."""

from copy import deepcopy
from dataclasses import dataclass
from math import sqrt

from pydantic import Field, PositiveFloat, PositiveInt
from torch import Generator, Tensor, nn

from bnnbench.bayes.batch_norms import RecalibratedPosterior, posterior_of
from bnnbench.bayes.chosen_prior import penalty, weight_decay
from bnnbench.bayes.journal import Journal, Stages, State
from bnnbench.bayes.map import trained
from bnnbench.bayes.method import MethodParams, Train, method
from bnnbench.bayes.network import WholeNet, flat, trainable
from bnnbench.bayes.noise import normal
from bnnbench.bayes.training import Training, batch_loss, descend, with_penalty
from bnnbench.bayes.weights import NetPosterior


class SWAGParams(MethodParams):
    """Parameters of SWAG; defaults as in the code that Kristiadi et al. 2022 release."""

    training: Training | None = Field(Training(), description="before SWAG; none where the model comes trained")
    learning_rate: PositiveFloat = Field(1e-2, description="constant, of SGD with momentum 0.9")
    snapshots: PositiveInt = Field(40, ge=2, description="one an epoch; their number is also the rank")
    weight_decay: float = Field(5e-4, ge=0)
    batch_size: PositiveInt = 128
    scale: PositiveFloat = Field(1.0, description="factor of the covariance")


@dataclass(frozen=True)
class LowRankNormal:
    """Covariance scale (diag(variance) + D^T D / (K - 1)) / 2 with deviations D [K, P] from the mean [P]."""

    mean: Tensor
    variance: Tensor
    deviations: Tensor
    scale: float = 1.0

    def sample(self, n_draws: int, generator: Generator | None = None) -> Tensor:
        """Draws [n_draws, P]."""
        rank = len(self.deviations)
        diagonal = self.variance.sqrt() * normal((n_draws, len(self.mean)), generator, self.mean)
        low_rank = normal((n_draws, rank), generator, self.mean) @ self.deviations / sqrt(rank - 1)
        return self.mean + sqrt(self.scale / 2) * (diagonal + low_rank)


def from_snapshots(snapshots: Tensor, scale: float = 1.0) -> LowRankNormal:
    """The distribution that SWAG fits to points [K, P] of a path; deviations are taken from the final mean."""
    mean = snapshots.mean(0)
    return LowRankNormal(mean, snapshots.var(0, correction=0), snapshots - mean, scale)


class Path(nn.Module):
    """A net and the snapshots of its parameters as one module, so that checkpoints hold both."""

    snapshots: Tensor

    def __init__(self, net: nn.Module, train: Train, generator: Generator, n_snapshots: int) -> None:
        super().__init__()
        self.net, self.train_data, self.generator = net, train, generator
        start = flat(trainable(net))
        self.register_buffer("snapshots", start.new_zeros(n_snapshots, len(start)))

    def objective(self, rows: Tensor, progress: float) -> Tensor:
        """Mean negative log-likelihood of a batch."""
        return batch_loss(self.net, self.train_data, rows, self.generator)

    def keep(self, epoch: int) -> None:
        """Keeps the parameters at the end of `epoch`."""
        self.snapshots[epoch] = flat(trainable(self.net))


@method("swag", SWAGParams)
def swag(
    model: nn.Module, train: Train, params: SWAGParams, generator: Generator, journal: Journal
) -> NetPosterior | RecalibratedPosterior:
    """A point estimate, then SGD with a constant rate and a snapshot at the end of every epoch."""
    stages = Stages(journal, generator)
    net = deepcopy(model)

    def start(journal: Journal) -> State:
        return trained(model, train, params.training, generator, journal).state_dict()

    net.load_state_dict(stages.run("map", start))
    path = Path(net, train, generator, params.snapshots)
    sgd = Training(
        optimizer="sgd",
        learning_rate=params.learning_rate,
        schedule="constant",
        weight_decay=weight_decay(train, params),
        epochs=params.snapshots,
        batch_size=params.batch_size,
    )

    objective = with_penalty(path.objective, penalty(path.net, train, "swag"))

    def follow(journal: Journal) -> State:
        descend(path, objective, len(train), sgd, generator, journal, path.keep)
        return path.state_dict()

    path.load_state_dict(stages.run("path", follow))
    return posterior_of(WholeNet(path.net), train, from_snapshots(path.snapshots, params.scale))
