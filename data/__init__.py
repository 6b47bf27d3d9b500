"""Readers of collections, queries and encoded queries; the model and collection that ship."""
