"""Recommendations of very many at a time: in shards on disk, joined into one file."""
