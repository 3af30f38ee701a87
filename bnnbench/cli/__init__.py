"""The `bnnbench` command: the only room that prints."""

from bnnbench.cli.commands import main

__all__ = ["main"]
