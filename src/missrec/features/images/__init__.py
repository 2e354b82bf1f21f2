"""Images of items: fetched, recorded, decoded."""
