"""Top-k search over segments."""
