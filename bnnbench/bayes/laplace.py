"""Laplace approximations: of the last layer (full, Kronecker, diagonal) or of all layers (full, diagonal)."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Generator, Tensor, nn

from bnnbench.bayes import ggn, last_layer
from bnnbench.bayes.chosen_prior import chosen_precision
from bnnbench.bayes.curvature import Curvature, Full, Kronecker
from bnnbench.bayes.gaussian import LaplaceNormal
from bnnbench.bayes.journal import Journal
from bnnbench.bayes.likelihood import Categorical, Likelihood, learns_noise
from bnnbench.bayes.map import trained
from bnnbench.bayes.method import MethodParams, Train, method
from bnnbench.bayes.network import InferredPart, LastLayerNet, LinearNet, Net, Scope, WholeNet, evaluate, inferred_part
from bnnbench.bayes.posterior import ClassPredictive, Predictive, asked
from bnnbench.bayes.precision import by_validation, evidence_adam, evidence_optimum
from bnnbench.bayes.predictives import multiclass_probit, normal_draws
from bnnbench.bayes.target import Target, mode
from bnnbench.bayes.targets import check_finite
from bnnbench.bayes.training import Training
from bnnbench.bayes.weights import DRAWS, NetPosterior

Tuning = Literal["evidence", "evidence-adam", "validation"]
Link = Literal["weights", "linearised", "probit", "mean"]


class Approximation(MethodParams):
    """What is approximated and how."""

    scope: Scope = Field("last", description="the last layer or all layers")
    structure: last_layer.Structure = "full"
    precision: PositiveFloat | Tuning = Field(
        "evidence",
        description="of the prior: a number, the optimum of the marginal likelihood, 100 Adam steps towards it (as "
        "published), or the best of a grid on validation data",
    )
    centre: Literal["trained", "mode"] = Field(
        "trained", description="where: at the trained parameters, or at the posterior's mode under this precision"
    )
    grid: tuple[PositiveFloat, ...] = Field(
        tuple(10 ** (k / 4) for k in range(-8, 17)), description="precisions tried on validation data", min_length=1
    )
    validation_draws: PositiveInt = Field(10, description="draws for each precision tried")

    @model_validator(mode="after")
    def _all_layers_have_no_kronecker(self) -> "Approximation":
        if self.scope == "all" and self.structure == "kronecker":
            raise ValueError("structure 'kronecker' is of the last layer only; all layers take 'full' or 'diagonal'")
        return self


class LaplaceParams(Approximation):
    """Parameters of a Laplace approximation."""

    training: Training | None = Field(Training(), description="none where the model comes trained")
    link: Link = Field(
        "weights", description="predictions: draws of weights, of linearised outputs, probit, or the mean alone"
    )


@dataclass(frozen=True)
class LaplacePosterior(NetPosterior):
    """A normal distribution over parameters, with several ways to predict; the link "mean" uses its mean alone."""

    distribution: LaplaceNormal
    link: Link = "weights"

    @property
    def coherent(self) -> bool:
        """Whether a draw is one function: true for weights and for the mean; the other links give marginals."""
        return self.link in ("weights", "mean")

    def sample(self, n_draws: int, generator: Generator | None = None) -> Tensor:
        """Draws of the parameters [n_draws, P]; with the link "mean" only one."""
        if self.link == "mean":
            return self.distribution.mean.unsqueeze(0)
        return super().sample(n_draws, generator)

    def predict(self, x: Tensor, n_draws: int | None = None, generator: Generator | None = None) -> Predictive:
        """Draws of outputs, 20 by default; the links "probit" and "mean" give one draw."""
        if self.link == "weights":
            return super().predict(x, n_draws, generator)
        if self.link == "mean":
            return self.likelihood.predictive(evaluate(self.net, self.sample(1), x))
        mean, covariance = self.linearised(x)
        if self.link == "probit":
            return ClassPredictive(multiclass_probit(mean, covariance).unsqueeze(0))
        draws = normal_draws(mean, covariance, asked(n_draws, DRAWS), generator)
        return self.likelihood.predictive(draws)

    @torch.no_grad()
    def linearised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean [N, C] and covariance [N, C, C] of the outputs linearised around the mean; exact for a last layer."""
        if isinstance(self.net, WholeNet):
            return _linearised_net(self.net, self.distribution, x)
        linear, features = _last(self.net, x)
        mean = linear.outputs(self.distribution.mean[None], features)[0]
        return mean, output_covariance(linear, self.distribution, features)

    def with_link(self, link: Link) -> "LaplacePosterior":
        """The same distribution, predicting in another way."""
        return replace(self, link=link)


def output_covariance(net: LinearNet, distribution: LaplaceNormal, features: Tensor) -> Tensor:
    """Covariance [N, C, C] of a linear layer's outputs at features [N, d]."""
    order, inputs, curvature = net.joint_order(features.device), net.augmented(features), distribution.curvature
    n_outputs, width = net.n_outputs, inputs.shape[1]
    if isinstance(curvature, Full):
        vectors = curvature.vectors[order]
        covariance = ((vectors * distribution.variances) @ vectors.T).view(n_outputs, width, n_outputs, width)
        rows = [torch.einsum("nkd,nd->nk", torch.tensordot(inputs, block, 1), inputs) for block in covariance]
        return torch.stack(rows, dim=1)
    variances = distribution.variances[order].view(n_outputs, width)
    if isinstance(curvature, Kronecker):
        spread = (inputs @ curvature.feature_vectors).square() @ variances.T
        return (curvature.output_vectors * spread.unsqueeze(1)) @ curvature.output_vectors.T
    return torch.diag_embed(inputs.square() @ variances.T)


def _linearised_net(net: WholeNet, distribution: LaplaceNormal, x: Tensor) -> tuple[Tensor, Tensor]:
    jacobian_of = ggn.jacobians(net, distribution.mean)
    parts = []
    for part in x.split(ggn.points_at_once(net, distribution.mean, x)):
        outputs, jacobian = jacobian_of(part)
        root = distribution.curvature.rotate_back(jacobian) * distribution.variances.sqrt()
        parts.append((outputs, root @ root.transpose(1, 2)))
    return torch.cat([mean for mean, _ in parts]), torch.cat([covariance for _, covariance in parts])


def _last(net: Net, x: Tensor) -> tuple[LinearNet, Tensor]:
    if isinstance(net, LastLayerNet):
        return net.linear, net.features(x)
    if isinstance(net, LinearNet):
        return net, x
    raise TypeError(f"{type(net).__name__} has no last layer")


def approximate(
    model: nn.Module, train: Train, params: Approximation, generator: Generator
) -> tuple[InferredPart, LaplaceNormal]:
    """The inferred part of a trained model, and its Laplace approximation."""
    part = inferred_part(model, params.scope, train.x)
    at_trained = curvature_at(part.theta, part, train.likelihood, params.structure)
    precision = _tuned(part, at_trained, train, params, generator)
    if params.centre == "trained":
        return part, LaplaceNormal(part.theta, at_trained, precision)
    target = Target(part.inner, part.inputs, train.y, train.likelihood, precision)
    return part, matched(part, target, params.structure)


def matched(part: InferredPart, target: Target, structure: last_layer.Structure) -> LaplaceNormal:
    """The Laplace approximation of `target` itself: at its own mode, under its own precision."""
    centre = mode(target, part.theta)
    return LaplaceNormal(centre, curvature_at(centre, part, target.likelihood, structure), target.precision)


def curvature_at(
    theta: Tensor, part: InferredPart, likelihood: Likelihood, structure: last_layer.Structure
) -> Curvature:
    """The curvature of the negative log-likelihood of all points at theta [P]; `ValueError` where it is not finite."""
    if isinstance(part.inner, LinearNet):
        curvature = last_layer.curvature(part.inner, theta, part.inputs, likelihood, structure)
    elif isinstance(part.inner, WholeNet) and structure != "kronecker":
        curvature = ggn.curvature(part.inner, theta, part.inputs, likelihood, structure)
    else:
        raise ValueError(f"no {structure} curvature of {type(part.inner).__name__}")
    check_finite(curvature.eigenvalues, "curvature")
    return curvature


def _tuned(
    part: InferredPart, curvature: Curvature, train: Train, params: Approximation, generator: Generator
) -> float:
    """The prior precision: that of the prior given with the data, or the one that `params` ask for."""
    if train.prior is not None:
        return chosen_precision(train, params, "laplace")
    if params.precision == "evidence":
        return evidence_optimum(part.theta, curvature.eigenvalues)
    if params.precision == "evidence-adam":
        return evidence_adam(part.theta, curvature.eigenvalues)
    if params.precision != "validation":
        return params.precision
    x, y = train.held_out()
    x = part.cached(x)
    stream = generator.get_state()

    def loss(precision: float) -> float:
        generator.set_state(stream)  # every precision sees the same noise
        draws = LaplaceNormal(part.theta, curvature, precision).sample(params.validation_draws, generator)
        predictive = train.likelihood.predictive(evaluate(part.inner, draws, x))
        return -predictive.log_density(y).mean().item()

    return by_validation(loss, params.grid)


@method("laplace", LaplaceParams)
def laplace(
    model: nn.Module, train: Train, params: LaplaceParams, generator: Generator, journal: Journal
) -> LaplacePosterior:
    """A normal distribution around trained parameters, or around the mode of the posterior itself."""
    if params.link == "probit" and not isinstance(train.likelihood, Categorical):
        raise ValueError("link: the probit link is of classes; for real targets take 'weights' or 'linearised'")
    if learns_noise(train.likelihood):
        raise ValueError("likelihood: laplace learns no noise; give a known one, or take 'map', 'hmc' or 'nuts'")
    if train.prior is not None:
        chosen_precision(train, params, "laplace")  # before the training
    net = trained(model, train, params.training, generator, journal)
    part, distribution = approximate(net, train, params, generator)
    return LaplacePosterior(part.net, distribution, train.likelihood, params.link)
