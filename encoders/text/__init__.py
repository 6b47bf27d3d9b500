"""Texts to words and tokens."""
