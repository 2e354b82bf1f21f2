"""MISSRec: multi-modal pre-training and transfer for sequential recommendation."""
