"""Bytes on disk: files, locks, manifests, Arrow columns, the place where a build works."""
