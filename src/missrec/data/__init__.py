"""Interactions: sources, domain folders, splits, batches of ids."""
