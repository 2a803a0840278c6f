"""Defines the errors that a user's input can cause; commands show them as one line, without a traceback."""

from __future__ import annotations


class UserError(ValueError):
    """The user's input is wrong; the message says what was found, what was expected and what to do."""


class CheckpointError(UserError):
    """A file or folder holds no network of this project, or does not fit the network it claims to be."""


class ImageError(UserError):
    """A file cannot be used as the image asked for; the message is one line for the user."""
