"""One published model per file."""
