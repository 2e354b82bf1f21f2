"""A line of JSON for each event; none holds a key of a user or an item, a history or an API key."""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any

FIELDS = "fields"
"""Attribute of a log record: what else its line says."""


class JsonLines(logging.Formatter):
    """Formats records as JSON; of an exception its type and its place, not its message."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
            line["at"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return json.dumps(line)


def log_config(level: str) -> dict[str, Any]:
    """Config of Python's logging: lines of JSON on stderr.

    Args:
        level: of what is logged, such as `info`.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": f"{__name__}.{JsonLines.__name__}"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"level": level.upper(), "handlers": ["stderr"]},
        "loggers": {
            "uvicorn": {"level": level.upper()},
            "httpx": {"level": "WARNING"},
            "grpc": {"level": "CRITICAL"},  # what a milvus in a file does not have
            "milvus_lite": {"level": "WARNING"},
        },
    }
