"""Encoders whose terms are not words."""
