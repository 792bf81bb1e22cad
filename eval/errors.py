"""The errors a user can mend: the command line prints them as one line, without a traceback."""

from __future__ import annotations

__all__ = ["RunFailed", "UserError"]


class UserError(RuntimeError):
    """Something outside the code is not as it must be; the message says what to do about it."""


class RunFailed(UserError):
    """A run came to no result, and that is its result: it is recorded as failed."""
