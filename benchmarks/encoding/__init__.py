"""Encoding on a CPU: speed, memory, effect on nDCG@10, and a search from cold."""
