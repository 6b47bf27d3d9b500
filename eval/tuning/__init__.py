"""Weights of a fusion, measured on judged queries."""
