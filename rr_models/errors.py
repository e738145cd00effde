"""Errors that a user can act on. A wrong argument raises a plain ValueError instead."""

from __future__ import annotations


class RationalRewardsError(Exception):
    """Base class of this library's errors, none of which is a programming mistake."""


class ModelFolderError(RationalRewardsError):
    """A model folder is incomplete or damaged; the message names the file and the fix."""


class CriticError(RationalRewardsError):
    """A critic could not start or could not finish; the message names the fix."""
