"""What settings and constructors refuse alike."""

from __future__ import annotations


def check_truths(**settings: object) -> None:
    """Refuses words such as "no" for a truth value: Python takes any word for true.

    Args:
        settings: arguments of a constructor, by their names.

    Raises:
        ValueError: names the first that is neither True nor False.
    """
    for name, value in settings.items():
        if not isinstance(value, bool):
            raise ValueError(f"{name} ({value}) must be true or false")
