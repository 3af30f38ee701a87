"""Independent random streams from named axes, so that methods share splits and differences are paired."""

import hashlib


def derive(seed: int, *axes: str) -> int:
    """A 63-bit seed for the stream that `axes` names (`derive(3, "split")`).

    Equal arguments give equal seeds on every machine; different axes give independent streams.
    """
    text = "\x1f".join([str(seed), *axes])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
