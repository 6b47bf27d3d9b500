"""Judgments, runs and measures."""
