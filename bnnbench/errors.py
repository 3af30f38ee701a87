"""The errors that a user can cause: each is one line that names what was wrong, where, and what to do.

The command line prints their message without a traceback. This module imports nothing, so that every
room of the house may raise them. Beside them stands the warning that goes with a result.
"""


class UserError(Exception):
    """A mistake in a configuration, a name or a file that the user can correct."""


class DataError(UserError):
    """A data file that is missing, truncated, corrupted or not what its name says."""


class DataUnavailable(DataError):
    """A data set that cannot be had here; the message ends with the command that would fetch it."""


class ResultWarning(UserWarning):
    """Something that a reader of a result should know, in one line: a search without an optimum, chains that differ."""
