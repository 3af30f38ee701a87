"""What a method is: a function from a net, training data and parameters to a posterior.

    @method("map", MAPParams)
    def map_estimate(model, train, params, generator, journal) -> Posterior: ...

Another package registers its methods under the entry point `bnnbench.methods`; the name there is the method's name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict
from torch import Generator, Tensor, nn

from bnnbench.bayes.identity import identity
from bnnbench.bayes.inputs import check_inputs
from bnnbench.bayes.journal import SILENT, Journal, Resumable
from bnnbench.bayes.likelihood import Categorical, Likelihood
from bnnbench.bayes.noise import global_stream, seed
from bnnbench.bayes.posterior import Posterior
from bnnbench.bayes.prior import NumpyroPrior, Prior
from bnnbench.bayes.targets import check_dense


class MethodParams(BaseModel):
    """Parameters of a method, with their types, ranges and units; an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Train:
    """Training data: inputs x [N, ...], targets y, their likelihood, and further data that some methods need.

    Targets are one number for each point, [N]; real targets may also be several, [N, D]. `prior` is the prior of the
    net's parameters; without it a method uses the isotropic normal of its own options (`precision`, `weight_decay`).
    `validation` is a pair (x, y) that is not trained on. `augment(x, generator)` changes a batch of inputs while a net
    is trained; curvatures, flows and samplers see x as it is. Raises `ValueError` for no points, for x and y of
    different lengths and for y of another shape, and `TypeError` for an argument of another type. The values of targets
    are checked by `Method.fit`, which knows the net.
    """

    x: Tensor
    y: Tensor
    likelihood: Likelihood = field(default_factory=Categorical)
    validation: tuple[Tensor, Tensor] | None = None
    augment: Callable[[Tensor, Generator | None], Tensor] | None = None
    prior: Prior | NumpyroPrior | None = None

    def __post_init__(self) -> None:
        if not (
            self.prior is None or (isinstance(self.prior, Prior | NumpyroPrior) and not isinstance(self.prior, type))
        ):
            raise TypeError(
                f"prior: {self.prior!r} is none; give IsotropicNormal(precision), IndependentNormal(scale) or your own"
            )
        if isinstance(self.likelihood, type) or not isinstance(self.likelihood, Likelihood):
            raise TypeError(f"likelihood: {self.likelihood!r} is none; give Categorical(), Gaussian(noise) or your own")
        if not (self.augment is None or callable(self.augment)):
            raise TypeError(f"augment: {self.augment!r} is no function of a batch of inputs and a generator")
        object.__setattr__(self, "y", _targets(self.x, self.y, "", self.likelihood))
        object.__setattr__(self, "x", self.x.detach())
        if self.validation is not None:
            if not isinstance(self.validation, tuple | list) or len(self.validation) != 2:
                raise ValueError("validation: a pair (x, y) of inputs and targets is needed, and none was given")
            x, y = self.validation
            targets = _targets(x, y, "validation ", self.likelihood)
            object.__setattr__(self, "validation", (x.detach(), targets))

    def __len__(self) -> int:
        return len(self.x)

    def held_out(self) -> tuple[Tensor, Tensor]:
        """Validation inputs and targets; raises `ValueError` where there are none."""
        if self.validation is None:
            raise ValueError("this method tunes itself on validation data: give Train.validation")
        return self.validation


def _targets(x: Tensor, y: Tensor, of: str, likelihood: Likelihood) -> Tensor:
    """Targets of x [N, ...], without gradient; integers of any type become int64, as torch's losses require."""
    for name, values in (("x", x), ("y", y)):
        if not isinstance(values, Tensor):
            raise TypeError(f"{of}{name}: a tensor is needed, and {type(values).__name__} was given")
        check_dense(values, f"{of}{name}")
        if values.dim() == 0:
            raise ValueError(f"{of}{name}: one number; a tensor with a row a point is needed")
    if len(x) != len(y):
        raise ValueError(f"{of}x and y: {len(x)} inputs and {len(y)} targets")
    if y.dim() > 2 or (y.dim() == 2 and isinstance(likelihood, Categorical)):
        raise ValueError(f"{of}y: targets have shape {tuple(y.shape)}; they must be one number a point")
    if len(x) == 0:
        raise ValueError(f"{of}x and y: no points")
    y = y.detach()
    return y if y.is_floating_point() or y.is_complex() else y.long()


def with_own_parameters(model: nn.Module, likelihood: Likelihood) -> nn.Module:
    """The model with the likelihood's own parameters, where it has any; `check_inputs` rejects what is not a net."""
    extended = getattr(likelihood, "extended", None)
    return extended(model) if extended is not None and isinstance(model, nn.Module) else model


P = TypeVar("P", bound=MethodParams)


@dataclass(frozen=True)
class Method(Generic[P]):
    """A registered method: its name, the class of its parameters, and its function."""

    name: str
    params: type[P]
    function: Callable[[nn.Module, Train, P, Generator, Journal], Posterior]

    def fit(
        self,
        model: nn.Module,
        train: Train,
        params: P | Mapping[str, Any] | None = None,
        generator: Generator | None = None,
        journal: Journal = SILENT,
    ) -> Posterior:
        """The posterior of `model`'s parameters given `train`; `model` itself is left as it was.

        `model` maps [N, ...] to outputs [N, C]. `params` may be a mapping, which is validated. All random numbers are
        determined by `generator`, also those that dropout draws from torch's global stream. A fit that continues from
        a checkpoint of `journal` goes on with the same numbers; a checkpoint of another method, or of other parameters,
        data or shapes of the net, is ignored. Raises `pydantic.ValidationError` for wrong parameters, `ValueError` for
        a net and data that do not fit together, and `TypeError` for a model that is not a torch module
        (`check_inputs`).
        """
        if not isinstance(params, self.params):
            params = self.params.model_validate({} if params is None else params)
        model = with_own_parameters(model, train.likelihood)
        check_inputs(model, train)
        generator = Generator().manual_seed(0) if generator is None else generator
        device = train.x.device
        # The seed comes from a copy of the generator: nets without dropout get the same numbers with and without it.
        with global_stream(seed(generator.clone_state()), device):
            resumable = Resumable(journal, generator, device, lambda: identity(self.name, params, model, train))
            return self.function(model, train, params, generator, resumable)


def method(
    name: str, params: type[P]
) -> Callable[[Callable[[nn.Module, Train, P, Generator, Journal], Posterior]], Method[P]]:
    """Declares the decorated function as the method `name`."""

    def declare(function: Callable[[nn.Module, Train, P, Generator, Journal], Posterior]) -> Method[P]:
        return Method(name, params, function)

    return declare
