"""How each experiment of the paper computes."""
