"""How the paper's ImageNet nets are built, fed and trained."""
