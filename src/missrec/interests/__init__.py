"""Density peaks clustering, and the index from item token to interest."""
