"""The paper's claims as tests over results, and those about what the paper does not compare."""
