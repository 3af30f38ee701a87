"""Which prior a fit has: the one given with the data (`Train.prior`), or the isotropic normal of the method's options.

It is an error to set such an option where a prior is given with the data.
"""

from collections.abc import Callable

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from bnnbench.bayes.likelihood import LearnedNoise
from bnnbench.bayes.log_noise import LogNoise
from bnnbench.bayes.method import Train
from bnnbench.bayes.network import LOG_NOISE, Net, WholeNet, trainable, weight_shapes
from bnnbench.bayes.prior import Density, Independent, IsotropicNormal, NumpyroPrior, Prior, Product


def any_prior(train: Train, params: BaseModel) -> Prior | NumpyroPrior:
    """The prior given with the data, or else the isotropic normal of the option `precision`; `ValueError` for both."""
    if train.prior is None:
        return IsotropicNormal(params.precision)  # type: ignore[attr-defined]
    _check_alone(params, "precision")
    return train.prior


def chosen_prior(train: Train, params: BaseModel, name: str) -> Prior:
    """As `any_prior`; `ValueError` also for a prior without a density, which the method `name` needs."""
    return torch_prior(any_prior(train, params), name)


def torch_prior(prior: Prior | NumpyroPrior, name: str) -> Prior:
    """The prior, where it has a density in torch; `ValueError` where only NumPyro can sample it."""
    if isinstance(prior, NumpyroPrior):
        raise ValueError(f"prior: {name} needs a density, and a NumpyroPrior is sampled by 'nuts' alone")
    return prior


def chosen_precision(train: Train, params: BaseModel, name: str) -> float:
    """The precision of the isotropic normal prior that the method `name` needs; `ValueError` for any other prior."""
    prior = chosen_prior(train, params, name)
    if not isinstance(prior, IsotropicNormal):
        raise ValueError(f"prior: {name} needs an IsotropicNormal, and {type(prior).__name__} was given")
    return prior.precision


def weight_decay(train: Train, params: BaseModel) -> float:
    """The option `weight_decay`, or 0 where a prior is given with the data; `ValueError` where both are given."""
    if train.prior is not None:
        if params.weight_decay:  # type: ignore[attr-defined]
            _check_alone(params, "weight_decay")
        return 0.0
    decay: float = params.weight_decay  # type: ignore[attr-defined]
    return decay


def density_of(prior: Prior, net: Net, train: Train, like: Tensor) -> Density:
    """The prior of all parameters theta [P] of `net`; a learned noise has the prior that the likelihood states."""
    shapes = weight_shapes(net)
    weights = prior.on(shapes, like)
    if not (isinstance(net, WholeNet) and LOG_NOISE in net.shapes):
        return weights
    noise = noise_prior(train, like)
    return Product((weights, noise), (sum(shape.numel() for shape in shapes.values()), len(noise.mean)))


def noise_prior(train: Train, like: Tensor) -> Independent:
    """The prior of the log noise [D] of a likelihood that learns it."""
    likelihood = train.likelihood
    assert isinstance(likelihood, LearnedNoise)
    sizes = (likelihood.n_targets,)
    return Independent(like.new_full(sizes, likelihood.prior_mean), like.new_full(sizes, likelihood.prior_scale))


def penalty(net: nn.Module, train: Train, name: str) -> Callable[[], Tensor] | None:
    """-log p(theta) / N of the current parameters, under the prior given with the data and that of a learned noise.

    It is `None` where there is neither: then weight decay is the only prior.
    """
    parameters, whole = trainable(net), WholeNet(net)
    if train.prior is not None:
        density = density_of(torch_prior(train.prior, name), whole, train, parameters[0].detach())
        return lambda: -density.log_prob(torch.cat([part.reshape(-1) for part in parameters])) / len(train)
    return noise_penalty(net, train)


def noise_penalty(net: nn.Module, train: Train) -> Callable[[], Tensor] | None:
    """-log p(log noise) / N of a learned noise; `None` where the noise is not learned."""
    learned = [part.log_noise for part in net.modules() if isinstance(part, LogNoise) and part.log_noise.requires_grad]
    if not learned:
        return None
    density = noise_prior(train, learned[0].detach())
    return lambda: -density.log_prob(learned[0]) / len(train)


def _check_alone(params: BaseModel, option: str) -> None:
    if option in params.model_fields_set:
        raise ValueError(f"prior: it is given with the data (Train.prior) and by the option {option!r}; leave one out")
