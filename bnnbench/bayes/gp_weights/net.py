"""A net whose weights are drawn from the process, given its inputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from bnnbench.bayes.gp_weights import layers
from bnnbench.bayes.gp_weights.layers import Conditional
from bnnbench.bayes.gp_weights.process import At, Grid, LayerKernel, WeightProcess
from bnnbench.bayes.gp_weights.units import Units, Wiring


@dataclass(frozen=True)
class Draw:
    """S draws of latents [S, U, D] and of inducing variables V [S, R, M], with the grid of inducing points."""

    latents: Tensor
    values: Tensor
    grid: Grid

    def kernels(self, wiring: Wiring) -> list[LayerKernel]:
        """The kernels of each layer's units with the inducing codes."""
        senders, receivers = (wiring.by_layer(part) for part in self.grid.of_units(self.latents))
        return [LayerKernel(a, b) for (a, _), (_, b) in zip(senders, receivers, strict=True)]


class GPNet(nn.Module):
    """q(z), q(V) and the process, with the wiring of the net.

    `local` says of each layer whether its weights depend on the input. The first layer's inputs are divided by `unit`,
    so that the prior does not depend on what they are measured in; where `constant` is true, the net is fed with 1
    instead, and its input enters only through the weights. `noise` appends a learned log noise [D], which is a point
    estimate, to the outputs, or leaves them as they are.
    """

    def __init__(
        self,
        wiring: Wiring,
        units: Units,
        process: WeightProcess,
        conditional: Conditional,
        local: Sequence[bool],
        constant: bool,
        unit: Tensor,
        noise: nn.Module,
    ) -> None:
        super().__init__()
        self.register_buffer("unit", unit)
        self.wiring, self.units, self.process = wiring, units, process
        self.conditional, self.local, self.constant = conditional, tuple(local), constant
        self.noise = noise

    unit: Tensor

    def first(self, x: Tensor) -> Tensor:
        """What the first layer gets [1, N, V_0], for flat inputs x [N, V_0]."""
        return (torch.ones_like(x) if self.constant else x / self.unit)[None]

    def draw(self, n_draws: int, stream: Generator | None) -> Draw:
        """Latents and inducing variables from q(z) q(V)."""
        return Draw(self.units.draw(n_draws, stream), self.process.values.draw(n_draws, stream), self.process.grid())

    def outputs(self, x: Tensor, draw: Draw, stream: Generator | None) -> Tensor:
        """Outputs [S, N, C] at inputs x [N, ...], with noise of the conditional drawn for every point.

        A learned log noise [D] follows the outputs of each point.
        """
        x = self.wiring.flat(x)
        views = self._views(x, draw)
        h = self.first(x)
        if self.conditional == "full":
            codes = self.wiring.codes(draw.latents)
            weights = self.wiring.matrices(layers.joint(codes, views[0], draw.grid, stream))
            h = self.applied(h, lambda k, h: (weights[k].expand(-1, h.shape[1], -1, -1) @ h[..., None])[..., 0], draw)
        else:
            kernels, noisy = draw.kernels(self.wiring), self.conditional == "diag"
            h = self.applied(h, lambda k, h: layers.outputs(h, kernels[k], views[k], draw.grid, noisy, stream), draw)
        followed: Tensor = self.noise(h)
        return followed

    def numbers_per_draw(self, n_points: int) -> int:
        """Entries of the largest array that `outputs` holds for a draw."""
        wiring, n_codes = self.wiring, len(self.process.codes)
        if self.conditional == "full":
            return wiring.n_weights**2 * (n_points if any(self.local) else 1)
        units = n_points * max(*wiring.n_senders, n_codes)
        return units if self.conditional == "det" else max(units, wiring.n_weights * n_codes)

    def sizes(self, n_draws: int, n_points: int, at_once: int) -> list[int]:
        """Numbers of draws that add up to `n_draws`, so that no array has many more than `at_once` entries."""
        size = max(1, at_once // max(1, self.numbers_per_draw(n_points)))
        return [min(size, n_draws - start) for start in range(0, n_draws, size)]

    def applied(self, h: Tensor, layer: Callable[[int, Tensor], Tensor], draw: Draw) -> Tensor:
        """Outputs of all layers at h [S or 1, N, V_0]; `layer(k, h)` is layer k, over s and its factor."""
        for k, factor in enumerate(self.wiring.factors):
            h = torch.cat([h, torch.ones_like(h[..., :1])], dim=-1) if self.wiring.biases[k] else h
            h = factor * draw.grid.scale * layer(k, h)
            for module in self.wiring.between[k + 1]:
                h = module(h)
        return h

    def _views(self, x: Tensor, draw: Draw) -> list[At]:
        """From where each layer sees the inducing variables."""
        seen = {local: self.process.at(x if local else None, draw.values, draw.grid) for local in set(self.local)}
        return [seen[local] for local in self.local]

    def kl(self) -> Tensor:
        """KL(q(z) q(V) || p(z) p(V)) in nats."""
        return self.units.kl() + self.process.values.kl()
