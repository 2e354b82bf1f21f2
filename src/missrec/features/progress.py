"""A progress bar that counts items."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class ItemsPerSecond(ProgressColumn):
    """The speed so far."""

    def render(self, task: Task) -> Text:
        """Items per second, as far as it is known."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f} items/s")


def items_progress(*, shown: bool) -> Progress:
    """A bar with the number of items, their speed and the time left, on stderr.

    Args:
        shown: False keeps silent; so does a stderr that is no terminal.
    """
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        ItemsPerSecond(),
        TimeRemainingColumn(),
        console=console,
        disable=not (shown and console.is_terminal),
    )
