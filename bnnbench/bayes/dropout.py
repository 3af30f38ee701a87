"""MC dropout: a net trained with dropout, which stays on when the net predicts."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Generator, Tensor, nn
from torch.nn import functional

from bnnbench.bayes.journal import Journal
from bnnbench.bayes.map import trained
from bnnbench.bayes.method import MethodParams, Train, method
from bnnbench.bayes.network import WholeNet, flat, trainable
from bnnbench.bayes.noise import uniform
from bnnbench.bayes.training import Training
from bnnbench.bayes.weights import NetPosterior

KINDS = nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d
FORWARDS = tuple(kind.forward for kind in KINDS)


class DropoutParams(MethodParams):
    """Parameters of MC dropout."""

    rate: float = Field(0.1, ge=0, lt=1, description="probability that a unit, or a channel, is dropped")
    first: bool = Field(False, description="whether inputs of the first layer, those of the net, are dropped too")
    training: Training | None = Field(Training(), description="none where the model comes trained")


@dataclass(frozen=True)
class Dropped:
    """The distribution of W diag(z) / (1 - rate), z_j ~ Bernoulli(1 - rate), for the weight W of every dropped layer.

    `theta` [P] are the trained parameters. `units` [P] says which unit each of them multiplies, counted from 1 over all
    dropped layers; it is 0 for parameters that nothing drops. Other parameters of theta are points.
    """

    theta: Tensor
    units: Tensor
    rate: float

    def sample(self, n_draws: int, generator: Generator | None = None) -> Tensor:
        """Draws [n_draws, P], whose mean is theta."""
        like = torch.zeros((), device=self.theta.device)  # in float32: half precision would round the rate
        kept = uniform((n_draws, int(self.units.max())), generator, like) >= self.rate
        factors = functional.pad(kept.to(self.theta.dtype) / (1 - self.rate), (1, 0), value=1.0)
        return self.theta * factors[:, self.units]


@method("dropout", DropoutParams)
def dropout(
    model: nn.Module, train: Train, params: DropoutParams, generator: Generator, journal: Journal
) -> NetPosterior:
    """Dropout as approximate inference (Gal and Ghahramani 2016, section 3).

    Inputs h of every linear and convolution layer but the first become h_j z_j / (1 - rate) with
    z_j ~ Bernoulli(1 - rate). Of a linear layer single units are dropped, of a convolution whole channels. In training,
    each point of a batch has its own z. The loss and its weight decay or prior are those of `map`, as functions of the
    trained theta (the authors' KL divergence would weigh the squares of dropped weights by 1 / (1 - rate)).

    As W (h z) = (W diag(z)) h, a draw of a prediction is a draw of weights, with one z for all inputs. So draws are
    functions and their mean weights are theta. Batch norms use their running statistics, and the net's own dropout
    layers are off when it predicts.

    Layers are dropped whose weight is a parameter that is not frozen and whose `forward` is that of torch; "first" is
    the one that the net calls first. `ValueError` where there is none, and for a dropped layer that shares its weight.
    """
    names = dropped_layers(model, train.x, params.first)
    noisy = trained(_dropping(model, names, params.rate), train, params.training, generator, journal)
    net = deepcopy(model)
    net.load_state_dict(noisy.state_dict())  # without the hooks
    distribution = Dropped(flat(trainable(net)), _units(net, names), params.rate)
    return NetPosterior(WholeNet(net.eval()), distribution, train.likelihood)


def dropped_layers(model: nn.Module, x: Tensor, first: bool) -> list[str]:
    """Names of the layers whose inputs are dropped, in the order in which the net calls them at x [N, ...].

    `ValueError` for no such layer, and where another part of the net holds the weight of one.
    """
    called = _called(model, x)
    names = [name for name in called[0 if first else 1 :] if _is_plain(model.get_submodule(name))]
    if not names:
        but = "" if first else " but the first (drop its inputs too with the option 'first')"
        raise ValueError(f"model: no plain linear or convolution layer with a free weight{but}, so nothing to drop")
    held = [id(parameter) for part in model.modules() for parameter in part.parameters(recurse=False)]
    if shared := [name for name in names if held.count(id(model.get_submodule(name).weight)) > 1]:
        raise ValueError(
            f"model: the weight of {shared[0]!r} is another layer's too, and dropout would drop it in both"
        )
    return names


@torch.no_grad()
def _called(model: nn.Module, x: Tensor) -> list[str]:
    """Names of all linear and convolution layers that the net calls, in that order, each once."""
    net = deepcopy(model).eval()
    names = {part: name for name, part in net.named_modules() if isinstance(part, KINDS)}
    seen: dict[str, None] = {}
    for part in names:
        part.register_forward_pre_hook(lambda part, _: seen.setdefault(names[part]))
    net(x[:2])
    return list(seen)


def _is_plain(layer: nn.Module) -> bool:
    weight = dict(layer.named_parameters(recurse=False)).get("weight")  # none where it is computed from others
    return type(layer).forward in FORWARDS and weight is not None and weight.requires_grad


def _dropping(model: nn.Module, names: Sequence[str], rate: float) -> nn.Module:
    """A copy of `model` whose layers `names` drop their inputs in training mode, by torch's global stream.

    A hook changes neither the names of parameters nor the layers, and a copy of the net has it as well.
    """

    def drop(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if not layer.training:
            return None
        h, unit = inputs[0], -1 if isinstance(layer, nn.Linear) else 1
        shape = [1] * h.dim()
        shape[0], shape[unit] = h.shape[0], h.shape[unit]
        return (h * functional.dropout(h.new_ones(shape), rate), *inputs[1:])

    net = deepcopy(model)
    for name in names:
        net.get_submodule(name).register_forward_pre_hook(drop)
    return net


def _units(net: nn.Module, names: Sequence[str]) -> Tensor:
    """The unit that each entry of theta [P] multiplies, from 1 over all layers `names`; 0 for all others."""
    layers = {id(layer.weight): layer for layer in map(net.get_submodule, names)}
    units, n_units = [], 0
    for parameter in trainable(net):
        unit = torch.zeros_like(parameter, dtype=torch.long)
        if (layer := layers.get(id(parameter))) is not None:
            groups = getattr(layer, "groups", 1)  # outputs of a group see the inputs of that group alone
            n_inputs = groups * parameter.shape[1]
            own = torch.arange(n_inputs, device=parameter.device).view(groups, 1, -1) + n_units + 1
            own = own.expand(-1, len(parameter) // groups, -1).reshape(*parameter.shape[:2])
            unit += own.view(*own.shape, *[1] * (parameter.dim() - 2))
            n_units += n_inputs
        units.append(unit.reshape(-1))
    return torch.cat(units)
