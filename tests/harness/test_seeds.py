"""Streams from named axes."""

from hypothesis import given
from hypothesis import strategies as st

from bnnbench.harness.seeds import derive

seeds = st.integers(0, 2**31)
axes = st.lists(
    st.text(st.characters(exclude_characters="\x1f", exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=3
)


@given(seeds, axes, seeds, axes)
def test_equal_arguments_and_only_they_give_equal_seeds(a: int, b: list[str], c: int, d: list[str]) -> None:
    assert (derive(a, *b) == derive(c, *d)) == ((a, b) == (c, d))


@given(seeds, axes)
def test_seeds_fit_every_generator(seed: int, names: list[str]) -> None:
    assert 0 <= derive(seed, *names) < 2**63


def test_the_derivation_is_the_same_on_every_machine() -> None:
    # A change here makes every recorded result irreproducible: raise harness.code.PROTOCOL with it.
    import hashlib

    expected = int(hashlib.blake2b(b"3\x1fsplit", digest_size=8).hexdigest(), 16) // 2
    assert derive(3, "split") == expected
