"""Segments: files, writer, reader."""
