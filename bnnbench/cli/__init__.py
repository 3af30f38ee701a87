"""The `bnnbench` command: the only package that prints."""

from bnnbench.cli.commands import main

__all__ = ["main"]
