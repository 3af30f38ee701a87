"""The machinery that turns experiments into results; it does not depend on any paper.

`docs/architecture.md` describes the walk of one job.
"""
