"""The paper's claims as tests over results, and controls that the paper lacks."""
