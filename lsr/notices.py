"""The warnings a user meets; the command line prints them as lines on standard error."""

from __future__ import annotations


class TextWarning(UserWarning):
    """Texts of a collection that an encoder makes nothing of."""
