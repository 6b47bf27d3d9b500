"""Models that are fitted to a collection."""
