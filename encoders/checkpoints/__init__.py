"""Model folders: files, layouts, weights."""
