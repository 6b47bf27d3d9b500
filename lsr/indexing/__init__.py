"""Texts to vectors, and vectors to an index."""
