"""A binarized net in NumPy and float64: forward, backward, Adam and selection by hand, independent of torch."""

from math import sqrt

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
EPS_BN, EPS_ADAM, MOMENTUM = 1e-4, 1e-8, 0.1


def sign(x: Array) -> Array:
    return np.where(x >= 0, 1.0, -1.0)


def hinge(outputs: Array, labels: NDArray[np.int64]) -> float:
    targets = np.where(np.arange(outputs.shape[1]) == labels[:, None], 1.0, -1.0)
    return float((np.maximum(0, 1 - targets * outputs) ** 2).mean())


class NumpyBNN:
    """Two binary layers with BatchNorm, Adam with scaled rates, clipping: forward and backward by hand."""

    def __init__(self, weights: list[Array]) -> None:
        self.weights = [weight.copy() for weight in weights]
        self.gammas = [np.ones(len(weight)) for weight in weights]
        self.betas = [np.zeros(len(weight)) for weight in weights]
        self.moments = [[np.zeros_like(p), np.zeros_like(p)] for p in self.parameters()]
        self.running = [(np.zeros(len(weight)), np.ones(len(weight))) for weight in weights]
        self.t = 0

    def parameters(self) -> list[Array]:
        return [*self.weights, *self.gammas, *self.betas]

    def gradients(self, x: Array, labels: NDArray[np.int64]) -> list[Array]:
        inputs, kept = x, []
        for k, (weight, gamma, beta) in enumerate(zip(self.weights, self.gammas, self.betas, strict=True)):
            s = inputs @ sign(weight).T
            mean, std = s.mean(0), np.sqrt(s.var(0) + EPS_BN)
            # torch keeps the unbiased variance for evaluation
            old_mean, old_var = self.running[k]
            new_mean = (1 - MOMENTUM) * old_mean + MOMENTUM * mean
            self.running[k] = (new_mean, (1 - MOMENTUM) * old_var + MOMENTUM * s.var(0, ddof=1))
            normal = (s - mean) / std
            a = gamma * normal + beta
            kept.append((inputs, normal, std, a))
            inputs = sign(a) if k + 1 < len(self.weights) else a
        targets = np.where(np.arange(a.shape[1]) == labels[:, None], 1.0, -1.0)
        g = -2 * targets * np.maximum(0, 1 - targets * a) / a.size
        found: list[list[Array]] = [[], [], []]
        for k in reversed(range(len(self.weights))):
            inputs, normal, std, a = kept[k]
            if k + 1 < len(self.weights):
                g = g * (np.abs(a) <= 1)  # equation 4
            found[1].insert(0, (g * normal).sum(0))
            found[2].insert(0, g.sum(0))
            g = self.gammas[k] / std * (g - g.mean(0) - normal * (g * normal).mean(0))
            found[0].insert(0, g.T @ inputs)
            g = g @ sign(self.weights[k])
        return [*found[0], *found[1], *found[2]]

    def outputs(self, x: Array) -> Array:
        """Evaluation: running statistics and deterministic signs."""
        for k, weight in enumerate(self.weights):
            mean, var = self.running[k]
            x = self.gammas[k] * (x @ sign(weight).T - mean) / np.sqrt(var + EPS_BN) + self.betas[k]
            x = sign(x) if k + 1 < len(self.weights) else x
        return x

    def training_loss(self, x: Array, labels: NDArray[np.int64]) -> float:
        """The squared hinge loss of a batch with the batch's own statistics."""
        for k, weight in enumerate(self.weights):
            s = x @ sign(weight).T
            x = self.gammas[k] * (s - s.mean(0)) / np.sqrt(s.var(0) + EPS_BN) + self.betas[k]
            x = sign(x) if k + 1 < len(self.weights) else x
        return hinge(x, labels)

    def step(self, x: Array, labels: NDArray[np.int64], learning_rate: float) -> None:
        self.t += 1
        for i, (p, g) in enumerate(zip(self.parameters(), self.gradients(x, labels), strict=True)):
            m, v = self.moments[i]
            m[:] = 0.9 * m + 0.1 * g
            v[:] = 0.999 * v + 0.001 * g * g
            scale = 1 / sqrt(1.5 / sum(p.shape)) if p.ndim == 2 else 1.0
            p -= learning_rate * scale * (m / (1 - 0.9**self.t)) / (np.sqrt(v / (1 - 0.999**self.t)) + EPS_ADAM)
        for weight in self.weights:
            np.clip(weight, -1, 1, out=weight)
