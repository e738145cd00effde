"""Errors that a user can act on. A wrong argument raises a plain ValueError instead."""

from __future__ import annotations


class RationalRewardsError(Exception):
    """Base class of this library's errors, none of which is a programming mistake."""


class ModelFolderError(RationalRewardsError):
    """A model folder is incomplete or damaged; the message names the file and the fix."""


class CriticError(RationalRewardsError):
    """A critic could not start or could not finish; the message names the fix."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, without a full stop; the error's type if it has no message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
