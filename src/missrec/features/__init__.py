"""Cached features of items, on disk and where the model looks them up."""
