"""The site's page of the service's routes, made of its OpenAPI document."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from missrec.serving import explorer, operations, routes

_HEAD = """# The HTTP interface

Each route of the service with what it takes and answers, as its `/openapi.json` has it; how to
start it, and what it refuses when: [Serve over HTTP](../serve.md).
"""

Schema = Mapping[str, Any]


def openapi_document() -> Schema:
    """What a service without keys and without a recommender tells of its routes."""
    app = FastAPI()
    for one in (routes.router, operations.router, explorer.router):
        app.include_router(one)
    return app.openapi()


def http_page(document: Schema) -> str:
    """The page of an OpenAPI document."""
    found = [_HEAD]
    for path, of_path in document["paths"].items():
        for method, operation in of_path.items():
            found += [f"## {method.upper()} {path}\n", *_operation(operation, document)]
    return "\n".join(found)


def _operation(operation: Schema, document: Schema) -> Iterator[str]:
    yield f"{operation.get('description') or operation['summary']}\n"
    parameters = {one["name"]: one["schema"] for one in operation.get("parameters", [])}
    yield from _fields("In the address or its query", parameters, (), document)
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    if "schema" in body:
        schema = _resolved(body["schema"], document)
        required = schema.get("required", ())
        yield from _fields("In the body", schema.get("properties", {}), required, document)
        for example in (*schema.get("examples", ()), *_examples(body)):
            yield f"```json\n{json.dumps(example)}\n```\n"
    yield from ("| answer | |", "|---|---|")
    for status, answer in sorted(operation["responses"].items()):
        yield f"| {status} | {_cell(answer['description'])} |"
    yield ""


def _examples(body: Schema) -> Iterator[Any]:
    for example in body.get("examples", {}).values():
        yield example["value"]


def _fields(
    title: str, fields: Mapping[str, Schema], required: tuple[str, ...], document: Schema
) -> Iterator[str]:
    if not fields:
        return
    yield from (f"| {title} | | |", "|---|---|---|")
    for name, schema in fields.items():
        is_needed = "; needed" if name in required else ""
        kind = f"{_kind(schema, document)}{is_needed}"
        yield f"| `{name}` | {_cell(kind)} | {_cell(schema.get('description', ''))} |"
    yield ""


def _kind(schema: Schema, document: Schema) -> str:
    """The type of a value in words, with its default."""
    schema = _resolved(schema, document)
    default = schema.get("default")
    ends = f", else {json.dumps(default)}" if default is not None else ""
    if several := schema.get("anyOf"):
        return f"{' or '.join(_kind(one, document) for one in several)}{ends}"
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'], document)}{ends}"
    return f"{schema.get('type', 'any')}{ends}"


def _resolved(schema: Schema, document: Schema) -> Schema:
    """What a reference within the document stands for."""
    if "$ref" not in schema:
        return schema
    found: Any = document
    for part in schema["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return {**found, **{key: value for key, value in schema.items() if key != "$ref"}}


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
