"""From experiment to result: the machinery, which knows no paper.

The walk of one job is told in `docs/architecture.md`.
"""
