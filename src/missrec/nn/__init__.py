"""Building blocks without knowledge of any model."""
