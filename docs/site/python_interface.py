"""The site's page of the Python interface: its signatures and docstrings, read and not imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

_HEAD = """# The Python interface

Each function and method with what its docstring says; a walk through them with outputs:
[Python](../python.md). A test runs the examples.
"""
_PLACES = ("__init__.py", "retrieval/recommender.py")
_SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Attributes):$")
_NAMED = re.compile(r"^ {4}(\w[\w, ]*): (.*)$")


def python_page(package: Path) -> str:
    """The page of the public functions and classes of the package in a folder."""
    found = [_HEAD]
    for place in _PLACES:
        for one in ast.parse((package / place).read_text(encoding="utf-8")).body:
            if isinstance(one, ast.FunctionDef) and one.name[0] != "_":
                found += [f"## missrec.{one.name}\n", *_function(one)]
            elif isinstance(one, ast.ClassDef) and one.name[0] != "_":
                found += [f"## {one.name}\n", *_described(one)]
                for method in one.body:
                    if isinstance(method, ast.FunctionDef) and method.name[0] != "_":
                        found += [f"### {method.name}\n", *_function(method)]
    return "\n".join(found)


def _function(function: ast.FunctionDef) -> Iterator[str]:
    told = ast.unparse(function.args).removeprefix("self").removeprefix(", ")
    is_property = any(getattr(one, "id", "") == "property" for one in function.decorator_list)
    arguments = "" if is_property else f"({told})"
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    yield f"```python\n{function.name}{arguments}{returns}\n```\n"
    yield from _described(function)


def _described(one: ast.FunctionDef | ast.ClassDef) -> Iterator[str]:
    """A docstring as Markdown: its sections in bold, what it names as a list, its examples."""
    is_example = False
    for line in (ast.get_docstring(one) or "").splitlines():
        starts = line.startswith(">>>")
        if starts and not is_example:
            yield "```pycon"
        elif is_example and not line:
            yield "```"
        is_example = starts or (is_example and bool(line))
        if is_example:
            yield line
        elif section := _SECTION.match(line):
            yield f"**{section[1]}**\n"
        elif named := _NAMED.match(line):
            yield f"- `{named[1]}`: {named[2]}"
        else:
            yield line.strip()
    yield "```\n" if is_example else ""
