"""Open indexes: search, hybrids, feedback, explanations."""
