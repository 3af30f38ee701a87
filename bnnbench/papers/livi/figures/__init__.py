"""The figures of the paper redrawn from results."""
