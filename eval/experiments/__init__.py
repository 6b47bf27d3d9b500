"""Experiments and the indexes and runs they keep."""
