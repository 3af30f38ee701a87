"""First-layer weights set to zero, and inputs ranked by their weights: what a sparse posterior is good for.

Draws of weights are [S, H, p]: S draws of H hidden units with p inputs.
"""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import average_precision_score
from torch import Tensor

TAIL = 0.1  # quantile of all |w| above which a weight counts as present


def pruned_per_draw(weights: Tensor, share: float) -> Tensor:
    """Each draw with its own floor(share H p) smallest |w| set to 0."""
    flat = weights.flatten(1)
    dropped = flat.abs().argsort(dim=1)[:, : int(share * flat.shape[1] + 1e-9)]
    return flat.scatter(1, dropped, 0.0).view_as(weights)


def pruned_by_one_mask(weights: Tensor, share: float) -> Tensor:
    """All draws with the same weights set to 0: the lowest of E|w| P(|w| > t), t the 10 % quantile of all |w|.

    Hidden units have no order, and chains may hold the same function in another one, so the mask of one is wrong for
    the other; `pruned_by_matched_mask` has no such fault.
    """
    return weights * _mask(weights, share)


def pruned_by_matched_mask(weights: Tensor, share: float) -> Tensor:
    """As `pruned_by_one_mask`, with the units of each draw matched to those of the last draw first.

    The matching minimises the squared distance of |w|. A permutation or a change of sign of the units of any draw
    changes the order of what is returned and nothing else.
    """
    order = torch.stack([_matching(draw, weights[-1]) for draw in weights])
    places = order[..., None].expand_as(weights)
    mask = _mask(weights.gather(1, places), share).expand_as(weights)
    return weights * torch.zeros_like(weights).scatter(1, places, mask)


def _mask(weights: Tensor, share: float) -> Tensor:
    """1 where weights [H, p] are kept."""
    size = weights.abs()
    score = size.mean(0) * (size > np.quantile(size.numpy(), TAIL)).to(size).mean(0)
    mask = torch.ones(score.numel(), dtype=weights.dtype)
    mask[score.flatten().argsort()[: int(share * score.numel() + 1e-9)]] = 0.0
    return mask.view_as(score)


def _matching(draw: Tensor, reference: Tensor) -> Tensor:
    """Which unit of a draw [H, p] stands in the place of each unit of the reference."""
    cost = torch.cdist(reference.abs(), draw.abs()).square().numpy()
    return torch.as_tensor(linear_sum_assignment(cost)[1])


def input_scores(weights: Tensor, output: Tensor) -> Tensor:
    """How much each input matters [p]: the mean over draws of sum_j |v_j| |w_jk|, output weights v [S, H]."""
    return (output.abs()[..., None] * weights.abs()).sum(1).mean(0)


def selection(scores: Tensor, active: tuple[int, ...]) -> float:
    """Area under the precision-recall curve (average precision) of the active inputs by their scores [p]; 1 is
    perfect.
    """
    truth = np.isin(np.arange(len(scores)), active)
    return float(average_precision_score(truth, scores.numpy()))
