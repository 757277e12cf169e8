"""What the API takes and gives, as OpenAPI: exact to the release's contract, and following it."""

from typing import Any

from .. import __version__
from .model import Model

Schema = dict[str, Any]
FAULT = {"type": "object", "required": ["row", "column", "rule"], "properties": {"row": {"type": "integer"}, "column": {"type": "string"}, "rule": {"type": "string"}}}
MEANINGS = {
    "400": "The body is no JSON.", "401": "The key is missing or wrong.", "403": "The key may not do this.",
    "409": "The idempotency key was used with another body.", "413": "The body is larger than is allowed.", "415": "The body is not application/json.",
    "422": "The body is not as the schema says; every fault is named.", "503": "The service or its database is not ready.",
}  # fmt: skip


def document(model: Model, batch: int, secured: bool) -> Schema:
    """The API over this release as OpenAPI 3.1."""
    found: Schema = {
        "openapi": "3.1.0",
        "info": {"title": model.name, "version": __version__, "description": f"{model.release.task().question} Version {model.version} answers."},
        "paths": paths(model, batch, secured),
        "components": {"schemas": schemas(model)},
    }
    if secured:
        found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return found


def paths(model: Model, batch: int, secured: bool) -> Schema:
    """Each address with what it takes and gives."""
    rows, answers = {"oneOf": [ref("Row"), many(ref("Row"), batch)]}, {"oneOf": [ref("Prediction"), many(ref("Prediction"), batch)]}
    return {
        "/predict": {"post": operation("predict", "Score and decide one row, or several", answers, secured, rows, ["400", "413", "415", "422"])},
        "/version": {"get": operation("version", "Which version serves, and how", ref("Version"), secured)},
        "/health": {"get": operation("health", "The process lives", ref("Health"), False)},
        "/ready": {"get": operation("ready", "The service can do what it is for", ref("Ready"), False, None, ["503"], ref("Ready"))},
    }


def operation(name: str, summary: str, answer: Schema, secured: bool, body: Schema | None = None, errors: list[str] | None = None, fault: Schema | None = None) -> Schema:
    """One operation; its errors carry a sentence, or every fault of the rows."""
    codes = [*(errors or []), *(["401", "403"] if secured else [])]
    found: Schema = {"operationId": name, "summary": summary, "responses": {"200": response("The answer.", answer)}}
    found["responses"] |= {code: response(MEANINGS[code], fault or ref("Faults" if code == "422" else "Error")) for code in codes}
    if body:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return found | ({"security": [{"key": []}]} if secured else {})


def response(description: str, schema: Schema) -> Schema:
    """A response of JSON."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def ref(name: str) -> Schema:
    """A schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def many(item: Schema, most: int) -> Schema:
    """One to `most` of a schema."""
    return {"type": "array", "items": item, "minItems": 1, "maxItems": most}


def schemas(model: Model) -> Schema:
    """The schemas that the addresses share."""
    classes = model.release.card["classes"]
    several = {"type": "object", "required": classes, "properties": {c: {"type": "number"} for c in classes}}
    text = {"type": "string"}
    return {
        "Row": row(model),
        "Prediction": record(score=several if len(classes) > 2 else {"type": "number"}, decision=decision(model), version=text),
        "Version": record(task=text, version=text, digest=text, run=text, path={"enum": ["compiled", "pipeline"]}),
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
    return {"type": "object", "required": [c.name for c in model.columns if c.required], "properties": columns}


def record(**properties: Schema) -> Schema:
    """An object that has exactly these properties."""
    return {"type": "object", "required": list(properties), "properties": properties, "additionalProperties": False}
