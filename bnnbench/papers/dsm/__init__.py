"""Dirichlet Scale Mixture Priors for Bayesian Neural Networks (Arnstad, Rønneberg, Storvik 2026)."""
