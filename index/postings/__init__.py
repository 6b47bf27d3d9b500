"""Postings: quantized, ordered, inverted, coded."""
