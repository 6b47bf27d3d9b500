"""The dense side of an index."""
