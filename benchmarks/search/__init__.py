"""Search engines on the same vectors, each in a process of its own."""
