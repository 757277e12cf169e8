"""What the API takes and gives, as OpenAPI: exact to the release's contract, and following it."""

from typing import Any

from .. import __version__
from .model import Model
from .rows import TIME

Schema = dict[str, Any]
FAULT = {
    "type": "object",
    "required": ["row", "column", "rule"],
    "properties": {
        "row": {"type": "integer"},
        "column": {"type": "string"},
        "rule": {"type": "string"},
    },
}
NAME = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[^\u0000]+$"}
KEYED = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "The same key and body again give the same answer.",
            "schema": {"type": "string", "maxLength": 200},
        }
    ]
}
MEANINGS = {
    "400": "The body is no JSON.",
    "401": "The key is missing or wrong.",
    "403": "The key may not do this.",
    "409": "The idempotency key was used with another body.",
    "413": "The body is larger than is allowed.",
    "415": "The body is not application/json.",
    "422": "The body is not as the schema says; every fault is named.",
    "503": "The service or its database is not ready.",
}


def document(model: Model, batch: int, secured: bool) -> Schema:
    """The API over this release as OpenAPI 3.1."""
    found: Schema = {
        "openapi": "3.1.0",
        "info": {
            "title": model.name,
            "version": __version__,
            "description": f"{model.release.task().question} Version {model.version} answers.",
        },
        "paths": paths(model, batch, secured),
        "components": {"schemas": schemas(model)},
    }
    if secured:
        found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return found


def paths(model: Model, batch: int, secured: bool) -> Schema:
    """Each address with what it takes and gives."""
    return {
        "/predict": {
            "post": operation(
                "predict",
                "Score and decide one row, or several",
                one_or(ref("Prediction"), batch),
                secured,
                one_or(ref("Row"), batch),
                ["400", "413", "415", "422"],
            )
        },
        "/decide": {
            "post": operation(
                "decide",
                "Decide for a unit, or several, as the running experiment says; written before it is answered",
                one_or(ref("Decision"), batch),
                secured,
                one_or(ref("Item"), batch),
                ["400", "409", "413", "415", "422", "503"],
            )
            | KEYED
        },
        "/outcomes": {
            "post": operation(
                "outcomes",
                "What came of decisions; posted again it changes nothing",
                ref("Counts"),
                secured,
                one_or(ref("Outcome"), batch),
                ["400", "413", "415", "422", "503"],
            )
        },
        "/version": {
            "get": operation("version", "Which version serves, and how", ref("Version"), secured)
        },
        "/health": {"get": operation("health", "The process lives", ref("Health"), False)},
        "/ready": {
            "get": operation(
                "ready",
                "The service can do what it is for",
                ref("Ready"),
                False,
                None,
                ["503"],
                ref("Ready"),
            )
        },
    }


def operation(
    name: str,
    summary: str,
    answer: Schema,
    secured: bool,
    body: Schema | None = None,
    errors: list[str] | None = None,
    fault: Schema | None = None,
) -> Schema:
    """One operation; its errors carry a sentence, or every fault of the rows."""
    codes = [*(errors or []), *(["401", "403"] if secured else [])]
    found: Schema = {
        "operationId": name,
        "summary": summary,
        "responses": {"200": response("The answer.", answer)},
    }
    found["responses"] |= {
        code: response(MEANINGS[code], fault or ref("Faults" if code == "422" else "Error"))
        for code in codes
    }
    if body:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return found | ({"security": [{"key": []}]} if secured else {})


def response(description: str, schema: Schema) -> Schema:
    """A response of JSON."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def ref(name: str) -> Schema:
    """A schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def one_or(item: Schema, most: int) -> Schema:
    """One of a schema, or a list of up to `most`."""
    return {"oneOf": [item, {"type": "array", "items": item, "minItems": 1, "maxItems": most}]}


def optional(schema: Schema) -> Schema:
    """A schema, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def schemas(model: Model) -> Schema:
    """The schemas that the addresses share."""
    classes = model.release.card["classes"]
    several = {
        "type": "object",
        "required": classes,
        "properties": {c: {"type": "number"} for c in classes},
    }
    text, number, score = (
        {"type": "string"},
        {"type": "number"},
        several if len(classes) > 2 else {"type": "number"},
    )
    counts = {name: {"type": "integer"} for name in ("new", "known", "stray", "conflict")}
    return {
        "Row": row(model),
        "Item": {
            "type": "object",
            "required": ["unit", "row"],
            "properties": {"unit": NAME, "row": ref("Row")},
        },
        "Decision": record(
            id=optional(text),
            unit=text,
            decision=decision(model),
            by={"enum": ["current", "release"]},
            score=optional(score),
            version=text,
            experiment=optional(text),
            arm=optional(text),
            propensity=number,
            fallback={"type": "boolean"},
        ),
        "Outcome": {
            "type": "object",
            "required": ["value"],
            "properties": {
                "value": {"type": "number", "minimum": -1e300, "maximum": 1e300},
                "event_time": optional(
                    {
                        "type": "string",
                        "pattern": TIME,
                        "description": "When it happened, in ISO 8601; left out: now.",
                    }
                ),
                "decision": optional(NAME),
                "unit": optional(NAME),
                "key": optional(NAME),
            },
            "anyOf": [
                {"required": [name], "properties": {name: NAME}} for name in ("decision", "unit")
            ],
        },
        "Counts": record(**counts),
        "Prediction": record(score=score, decision=decision(model), version=text),
        "Version": record(
            task=text, version=text, digest=text, run=text, path={"enum": ["compiled", "pipeline"]}
        ),
        "Health": record(status={"const": "ok"}),
        "Ready": record(ready={"type": "boolean"}, detail=text),
        "Error": record(detail=text),
        "Faults": record(detail={"oneOf": [text, {"type": "array", "items": FAULT}]}),
    }


def decision(model: Model) -> Schema:
    """What can be decided."""
    return {"enum": model.actions} if model.actions else {"type": "number"}


def row(model: Model) -> Schema:
    """A row: every column with type, range, categories and an example; other columns are not looked at."""
    columns = {c.name: c.schema() for c in model.columns}
    return {
        "type": "object",
        "required": [c.name for c in model.columns if c.required],
        "properties": columns,
    }


def record(**properties: Schema) -> Schema:
    """An object that has exactly these properties."""
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }
