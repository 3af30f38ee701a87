"""Hamiltonian Monte Carlo in the coordinates of a Laplace approximation, all chains at once.

With theta = mean + R z the posterior of z is close to N(0, I), so one step size fits all directions, and a trajectory
of a quarter period (pi / 2) leads to a draw that hardly depends on the last.
"""

from copy import deepcopy
from dataclasses import dataclass
from math import exp, log, pi, sqrt

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Generator, Tensor, nn

from bnnbench.bayes.chains import ENERGY, ChainPosterior, Chains, check_start
from bnnbench.bayes.chosen_prior import chosen_prior, density_of
from bnnbench.bayes.gaussian import Affine
from bnnbench.bayes.journal import Journal, Stages, State, is_logged
from bnnbench.bayes.laplace import matched
from bnnbench.bayes.last_layer import Structure
from bnnbench.bayes.map import trained
from bnnbench.bayes.method import MethodParams, Train, method
from bnnbench.bayes.network import Scope, check_noise, inferred_part
from bnnbench.bayes.noise import normal, uniform
from bnnbench.bayes.target import Target
from bnnbench.bayes.training import Training

SMALLEST = 1e-12  # step size; where nothing is accepted, the tuner would go on to 0


class Sampling(MethodParams):
    """How chains are run."""

    chains: PositiveInt = 3
    warmup: PositiveInt = Field(50, description="draws that set the step size and are dropped")
    draws: PositiveInt = Field(200, description="kept, for each chain", ge=4)
    target_acceptance: PositiveFloat = Field(0.8, lt=1)
    trajectory: PositiveFloat = Field(pi / 2, description="length of a trajectory in whitened units")
    max_leapfrogs: PositiveInt = Field(64, description="most gradient steps of a trajectory")


class HMCParams(MethodParams):
    """Parameters of Laplace-whitened HMC."""

    training: Training | None = Field(Training(), description="none where the model comes trained")
    precision: PositiveFloat = Field(510.0, description="of the prior")
    scope: Scope = "last"
    structure: Structure = Field("full", description="of the last layer's curvature that whitens")
    sampling: Sampling = Sampling()


@dataclass
class DualAveraging:
    """Step size whose acceptance probability approaches `target` (Hoffman and Gelman 2014, section 3.2)."""

    start: float
    target: float
    drift: float = 0.0
    log_mean: float = 0.0
    count: int = 0

    @property
    def step(self) -> float:
        """The step size to try next."""
        return exp(self._log_step) if self.count else self.start

    @property
    def settled(self) -> float:
        """The step size for use after the warm-up: an average of those tried in which late ones have more weight."""
        return exp(self.log_mean)

    def update(self, acceptance: float) -> None:
        """Takes the mean acceptance probability of one more trajectory into account."""
        self.count += 1
        self.drift += (self.target - acceptance - self.drift) / (self.count + 10)
        self.log_mean += self.count**-0.75 * (self._log_step - self.log_mean)

    @property
    def _log_step(self) -> float:
        return log(10 * self.start) - sqrt(self.count) / 0.05 * self.drift


@dataclass(frozen=True)
class Point:
    """Whitened positions z [K, P] with log density [K] and its gradient [K, P]."""

    z: Tensor
    value: Tensor
    gradient: Tensor


def point(target: Target, base: Affine, z: Tensor) -> Point:
    """The posterior at theta = mean + R z, as a density of z (up to a constant)."""
    z = z.detach().requires_grad_()
    with torch.enable_grad():
        theta = base.push(z)
    value, slope = target.gradient(theta)
    (gradient,) = torch.autograd.grad(theta, z, slope)
    return Point(z.detach(), value, gradient)


def sample(target: Target, base: Affine, sampling: Sampling, generator: Generator | None, journal: Journal) -> Chains:
    """Draws of theta [K, n, P] with the sampler's record; chains start at draws of `base`.

    `ValueError` where the log posterior or its gradient is not finite there.
    """
    shape = sampling.chains, len(base.mean)
    tuner = DualAveraging(shape[1] ** -0.25, sampling.target_acceptance)
    draws, accepted, first = base.mean.new_empty(sampling.draws, *shape), 0.0, 0
    energy, n_steps = (
        base.mean.new_empty(shape[0], sampling.draws),
        base.mean.new_zeros(shape[0], sampling.draws, dtype=torch.long),
    )
    divergences, saturated = 0, 0
    z = normal(shape, generator, base.mean)
    if (restored := journal.restore()) is not None:
        first, state = restored
        z, draws, accepted, tuner = state["z"], state["draws"], state["accepted"], DualAveraging(**state["tuner"])
        divergences, saturated = state["divergences"], state["saturated"]
        energy, n_steps = state["energy"], state["n_steps"]
    now = point(target, base, z)
    check_start(now.value, now.gradient)
    for k in journal.steps(sampling.warmup + sampling.draws, first):
        kept = k - sampling.warmup
        move = transition(target, base, now, tuner.step if kept < 0 else tuner.settled, sampling, generator)
        now = move.point
        if kept < 0:
            tuner.update(move.acceptance)
        else:
            draws[kept] = base.push(now.z)
            accepted += move.acceptance / sampling.draws
            divergences += move.divergences
            saturated += sampling.chains * move.saturated
            energy[:, kept], n_steps[:, kept] = move.energy, move.n_steps
        if is_logged(k, sampling.warmup + sampling.draws):
            journal.log(k + 1, acceptance=move.acceptance)
        state = {"z": now.z, "draws": draws, "accepted": accepted, "tuner": vars(tuner).copy()}
        state |= {"divergences": divergences, "saturated": saturated, "energy": energy, "n_steps": n_steps}
        journal.checkpoint(k + 1, lambda state=state: state)  # type: ignore[misc]
    return Chains(draws.transpose(0, 1).contiguous(), accepted, divergences, saturated, energy, n_steps)


@dataclass(frozen=True)
class Move:
    """The end of one trajectory of every chain, the mean acceptance probability, and how many trajectories diverged.

    `saturated` says whether the trajectories, which all have one length, were cut off at the limit of gradient steps.
    `energy` [K] is the sum of potential and kinetic energy at the chosen points, and `n_steps` the number of gradient
    steps taken.
    """

    point: Point
    acceptance: float
    divergences: int
    saturated: bool
    energy: Tensor
    n_steps: int


def transition(
    target: Target, base: Affine, start: Point, step: float, sampling: Sampling, generator: Generator | None
) -> Move:
    """One trajectory of every chain; each chain accepts or rejects its own.

    The length varies at random by up to a fifth, as a trajectory of fixed length can return to where it started.
    """
    stretch, accept = uniform((), generator, start.value), uniform(start.value.shape, generator, start.value)
    length = sampling.trajectory * (0.8 + 0.4 * stretch.item())
    wanted = max(1, round(length / max(step, SMALLEST)))
    n_steps = min(wanted, sampling.max_leapfrogs)
    before = normal(start.z.shape, generator, start.z)
    end, after = leapfrog(target, base, start, before, step, n_steps)
    gain = end.value - start.value + 0.5 * (before.square() - after.square()).sum(1)
    probability = torch.nan_to_num(gain.exp(), nan=0.0).clamp(max=1)
    moved = accept < probability
    chosen = Point(
        torch.where(moved[:, None], end.z, start.z),
        torch.where(moved, end.value, start.value),
        torch.where(moved[:, None], end.gradient, start.gradient),
    )
    diverged = int((~(gain >= -ENERGY)).sum())
    energy = 0.5 * torch.where(moved, after.square().sum(1), before.square().sum(1)) - chosen.value
    return Move(chosen, probability.mean().item(), diverged, wanted > n_steps, energy, n_steps)


def leapfrog(
    target: Target, base: Affine, start: Point, momentum: Tensor, step: float, n_steps: int
) -> tuple[Point, Tensor]:
    """The end of a trajectory and its momentum; from there, the reversed momentum leads back to the start."""
    end = start
    for _ in range(n_steps):
        momentum = momentum + 0.5 * step * end.gradient
        end = point(target, base, end.z + step * momentum)
        momentum = momentum + 0.5 * step * end.gradient
    return end, momentum


@method("hmc", HMCParams)
def hmc(model: nn.Module, train: Train, params: HMCParams, generator: Generator, journal: Journal) -> ChainPosterior:
    """Trains the net, finds the mode and curvature of its posterior, and samples in their coordinates."""
    check_noise(model, params.scope, "hmc")
    prior = chosen_prior(train, params, "hmc")
    stages = Stages(journal, generator)
    net = deepcopy(model)
    net.load_state_dict(
        stages.run("map", lambda journal: trained(model, train, params.training, generator, journal).state_dict())
    )
    part = inferred_part(net, params.scope, train.x)
    density = density_of(prior, part.inner, train, part.theta)
    target = Target(part.inner, part.inputs, train.y, train.likelihood, density)
    base = matched(part, target, "diagonal" if params.scope == "all" else params.structure)

    def run(journal: Journal) -> State:
        return sample(target, base, params.sampling, generator, journal)._asdict()

    chains = Chains(**stages.run("chains", run))
    return ChainPosterior.of(part.net, train.likelihood, chains, params.sampling.target_acceptance)
