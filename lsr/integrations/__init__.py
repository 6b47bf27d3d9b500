"""lsr inside other programs."""
