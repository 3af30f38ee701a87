"""The claims of the paper's abstract as tests over results, and our own about its method."""
