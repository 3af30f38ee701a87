"""Uses of a sparse posterior: first-layer weights are set to zero, and inputs are ranked by their weights.

Draws of weights are [S, H, p]: S draws of H hidden units with p inputs.
"""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import average_precision_score
from torch import Tensor

TAIL = 0.1  # quantile of all |w| above which a weight counts as present


def pruned_per_draw(weights: Tensor, share: float) -> Tensor:
    """The draws, each with its own floor(share H p) smallest |w| set to 0."""
    flat = weights.flatten(1)
    dropped = flat.abs().argsort(dim=1)[:, : int(share * flat.shape[1] + 1e-9)]
    return flat.scatter(1, dropped, 0.0).view_as(weights)


def pruned_by_one_mask(weights: Tensor, share: float) -> Tensor:
    """The draws, all with the same weights set to 0: those with the lowest E|w| P(|w| > t).

    t is the 10 % quantile of all |w|.

    Hidden units have no fixed order, so chains may hold the same function with its units in another order, for which
    the mask is then wrong; `pruned_by_matched_mask` avoids this.
    """
    return weights * _mask(weights, share)


def pruned_by_matched_mask(weights: Tensor, share: float) -> Tensor:
    """As `pruned_by_one_mask`, after matching the units of each draw to those of the last draw.

    The matching minimises the squared distance of |w|. If the units of a draw are permuted or change their signs, so do
    the units of the returned draw, and nothing else changes.
    """
    order = torch.stack([_matching(draw, weights[-1]) for draw in weights])
    places = order[..., None].expand_as(weights)
    mask = _mask(weights.gather(1, places), share).expand_as(weights)
    return weights * torch.zeros_like(weights).scatter(1, places, mask)


def _mask(weights: Tensor, share: float) -> Tensor:
    """A mask [H, p]: 1 where weights are kept."""
    size = weights.abs()
    score = size.mean(0) * (size > np.quantile(size.numpy(), TAIL)).to(size).mean(0)
    mask = torch.ones(score.numel(), dtype=weights.dtype)
    mask[score.flatten().argsort()[: int(share * score.numel() + 1e-9)]] = 0.0
    return mask.view_as(score)


def _matching(draw: Tensor, reference: Tensor) -> Tensor:
    """For each unit of the reference [H, p], the matching unit of a draw [H, p]."""
    cost = torch.cdist(reference.abs(), draw.abs()).square().numpy()
    return torch.as_tensor(linear_sum_assignment(cost)[1])


def input_scores(weights: Tensor, output: Tensor) -> Tensor:
    """The importance of each input [p]: the mean over draws of sum_j |v_j| |w_jk|, with output weights v [S, H]."""
    return (output.abs()[..., None] * weights.abs()).sum(1).mean(0)


def selection(scores: Tensor, active: tuple[int, ...]) -> float:
    """Average precision of finding the active inputs by their scores [p]: the area under the precision-recall curve."""
    truth = np.isin(np.arange(len(scores)), active)
    return float(average_precision_score(truth, scores.numpy()))
