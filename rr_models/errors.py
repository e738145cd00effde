"""The errors of this library that a user can mend. A wrong argument is a plain ValueError instead."""

from __future__ import annotations


class RationalRewardsError(Exception):
    """Anything that went wrong here and is not a programming mistake."""


class ModelFolderError(RationalRewardsError):
    """A model folder is not what it should be; the message says which file and what to do."""


class CriticError(RationalRewardsError):
    """A critic could not be started or could not finish; the message says what to do."""
