"""Arnstad, Ronneberg, Storvik 2026: "Dirichlet Scale Mixture Priors for Bayesian Neural Networks"."""
