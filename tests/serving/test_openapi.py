"""What the OpenAPI document promises."""

from __future__ import annotations
