"""What is logged of a run, and where."""
