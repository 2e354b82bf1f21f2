"""Config to objects; what the doors in src/ call."""
