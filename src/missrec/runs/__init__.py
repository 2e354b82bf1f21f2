"""A run folder: its layout, its format, what it was made of, and which runs are one system."""
