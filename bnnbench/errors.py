"""The errors that a user can cause, a computation that diverged, and what a reader of a result should know.

A `UserError` is one line that names what was wrong, where, and what to do.
The command line prints the message of a `UserError` without a traceback. This module imports nothing, so that every
other module may raise them.
"""


class UserError(Exception):
    """A mistake in a configuration, a name or a file that the user can correct."""


class DataError(UserError):
    """A data file that is missing, truncated, corrupted or not what its name says."""


class DataUnavailable(DataError):
    """A data set that cannot be had here; the message ends with the command that would fetch it."""


class Diverged(Exception):
    """The computation left the finite numbers; the message says what and where. It is recorded as a result."""


class ResultWarning(UserWarning):
    """Something that a reader of a result should know: a search that ended at a bound, chains that did not mix."""
