"""Sparse vectors in Arrow segments, searched exactly.  See `lsr.index.format` for the files."""
