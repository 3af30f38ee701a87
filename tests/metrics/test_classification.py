"""Class metrics against scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix

from bnnbench.metrics.classification import confusion, error_rate


@given(st.integers(1, 40), st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_against_scikit_learn(n: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    outputs, labels = rng.normal(size=(n, classes)), rng.integers(0, classes, n)
    guesses = outputs.argmax(1)
    tensors = torch.from_numpy(outputs), torch.from_numpy(labels)
    assert error_rate(*tensors) == pytest.approx(100 * (1 - accuracy_score(labels, guesses)))
    expected = confusion_matrix(labels, guesses, labels=range(classes))
    assert np.array_equal(confusion(*tensors).numpy(), expected)
