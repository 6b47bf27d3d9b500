"""The version of lsr."""

__version__ = "0.1.0"
