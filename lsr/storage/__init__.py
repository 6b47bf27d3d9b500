"""Bytes on disk: files, locks, manifests, Arrow columns, workspaces of builds."""
