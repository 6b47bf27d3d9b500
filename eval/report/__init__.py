"""Reports of evaluations: page, Markdown, data."""
