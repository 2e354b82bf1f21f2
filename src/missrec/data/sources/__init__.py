"""Where domains come from: dumps, released files, own tables, the demo; and out again."""
