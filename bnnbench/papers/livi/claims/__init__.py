"""The claims of the paper as tests over results, and our own about what it does not compare."""
