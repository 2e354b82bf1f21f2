"""The same tables in each format."""
