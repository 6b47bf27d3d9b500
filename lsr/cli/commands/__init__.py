"""The commands of `lsr`, one a module."""
