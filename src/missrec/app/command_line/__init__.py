"""What was typed: its grammar, keys and values, its help, and the one line of a mistake."""
