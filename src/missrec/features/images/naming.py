"""What names an image: an address, or the path of a file."""

from __future__ import annotations

IMAGES = "images"
"""In the folder of the data: a folder of images for each domain."""

ADDRESS = r"^\s*(//|[A-Za-z][A-Za-z0-9+.-]+:)"
"""How an address begins, whatever its scheme; anything else is a path, `C:` being a drive."""
