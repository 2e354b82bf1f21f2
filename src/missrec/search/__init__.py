"""Hyper-parameter searches: the space, the study, its trials."""
