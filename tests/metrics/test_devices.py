"""Every metric on a GPU and in low precision against the CPU in float64, under deterministic algorithms."""

from collections.abc import Callable, Iterator

import pytest
import torch
from metric_makers import predictions, tied
from torch import Tensor

from bnnbench.metrics.calibration import ece, mce
from bnnbench.metrics.classification import accuracy, brier, mean_confidence
from bnnbench.metrics.mmd import kernel_mean, median_gamma, mmd2_biased, mmd2_unbiased, permutation_test
from bnnbench.metrics.montecarlo import standard_error
from bnnbench.metrics.ood import aupr_in, aupr_out, auroc, fpr_at_tpr
from bnnbench.metrics.regression import central_interval, coverage, crps, crps_gaussian, rmse, width
from bnnbench.metrics.selective import risk_coverage

Put = Callable[[Tensor], Tensor]
DRAWS = torch.stack([predictions(40, 4, seed)[0] * 0.9 + 0.025 for seed in range(3)])
LABELS = predictions(40, 4, 9)[1]
MEANS, NOISE, TARGETS = torch.linspace(-2, 2, 120).view(3, 40).sin(), torch.full((3, 1), 0.5), torch.linspace(-1, 1, 40)
X, Y = torch.linspace(0, 40, 90).sin().view(30, 3), torch.linspace(0, 60, 60).cos().view(20, 3)


@pytest.fixture
def deterministic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def everything(put: Put) -> dict[str, float]:
    p, labels, x, y = put(DRAWS), LABELS.to(put(DRAWS).device), put(X), put(Y)
    inside, outside = put(tied(50, 0)), put(tied(40, 1))
    means, noise, targets = put(MEANS), put(NOISE), put(TARGETS)
    low, high = central_interval(means)
    test = permutation_test(x, y, 0.5, 50, generator=torch.Generator().manual_seed(0))
    return {
        **{metric.__name__: metric(p, labels) for metric in (accuracy, brier, ece, mce)},
        "as published": ece(p, labels, 100, as_published=True),
        "mean_confidence": mean_confidence(p),
        **{metric.__name__: metric(inside, outside) for metric in (auroc, aupr_in, aupr_out, fpr_at_tpr)},
        "median_gamma": median_gamma(x, y),
        "kernel_mean": kernel_mean(x, 0.5),
        "mmd2_biased": mmd2_biased(x, y, 0.5),
        "mmd2_unbiased": mmd2_unbiased(x, y, 0.5),
        "null": test.null.mean().item(),
        "p": test.p_value,
        "area": risk_coverage(inside, inside).area,
        "rmse": rmse(means, targets),
        "crps_gaussian": crps_gaussian(means[0], noise[0], targets),
        "crps": crps(means, targets),
        "coverage": coverage(low, high, targets),
        "width": width(low, high),
        "standard_error": standard_error(means[:, 0]),
    }


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_devices_and_types_agree(device: str, dtype: torch.dtype, tolerance: float) -> None:
    expected = everything(lambda tensor: tensor.double())
    assert everything(lambda tensor: tensor.to(device, dtype)) == pytest.approx(expected, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_taken(dtype: torch.dtype) -> None:
    half = predictions(40, 10, 0)[0].to(dtype)
    assert brier(half, LABELS % 10) == pytest.approx(brier(half.double(), LABELS % 10), rel=1e-12)
