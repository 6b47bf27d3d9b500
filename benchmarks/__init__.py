"""Measurements of the search engine beside published ones; see README.md in this folder."""
