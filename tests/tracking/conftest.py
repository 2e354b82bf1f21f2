"""Runs are composed as for the tests of the app."""

from conftest import _no_command, compose_shared, compose_tiny

__all__ = ["_no_command", "compose_shared", "compose_tiny"]
