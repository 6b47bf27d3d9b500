"""Folders of encoded vectors."""
