"""What the API takes and gives, as OpenAPI: exact to the release's contract, and following it."""

from typing import Any, NamedTuple

from .. import __version__
from ..model.release import Release
from .bodies import MOST, Item, OutcomeItem
from .guard import SCOPE_NEEDED
from .rows import row_schema

Schema = dict[str, Any]
"""A part of the document."""
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
FAULT = {
    "type": "object",
    "required": ["row", "column", "rule"],
    "properties": {"row": INTEGER, "column": TEXT, "rule": TEXT},
}
KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key and body again give the same answer.",
    "schema": {"type": "string", "maxLength": 200},
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


class Operation(NamedTuple):
    """What an address is for, what it gives and takes, by schema, and the errors it can answer."""

    summary: str
    answer: str
    body: str = ""
    errors: str = ""


OPERATIONS = {
    "predict": Operation(
        "Score and decide one row, or several", "Prediction", "Row", "400 413 415 422"
    ),
    "decide": Operation(
        "Decide for a unit, or several, as the running experiment says; "
        "written before it is answered",
        "Decision",
        "Item",
        "400 409 413 415 422 503",
    ),
    "outcomes": Operation(
        "What came of decisions; posted again it changes nothing",
        "Counts",
        "Outcome",
        "400 413 415 422 503",
    ),
    "version": Operation("Which version serves, and how", "Version"),
    "health": Operation("The process lives", "Health"),
    "ready": Operation("The service can do what it is for", "Ready", errors="503"),
}


def document(release: Release, version: str, secured: bool) -> Schema:
    """The API over this release as OpenAPI 3.1."""
    components: Schema = {"schemas": schemas(release)}
    if secured:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": release.task.name,
            "version": __version__,
            "description": f"{release.task.question} Version {version} answers.",
        },
        "paths": {f"/{name}": path(name, secured) for name in OPERATIONS},
        "components": components,
    }


def path(name: str, secured: bool) -> Schema:
    """An address: what it takes, what it gives, and its errors.

    These carry a sentence, or every fault of the rows.
    """
    operation = OPERATIONS[name]
    secured = secured and f"/{name}" in SCOPE_NEEDED
    several = name in ("predict", "decide")
    answer = one_or(operation.answer) if several else ref(operation.answer)
    found: Schema = {
        "operationId": name,
        "summary": operation.summary,
        "responses": {"200": response("The answer.", answer)},
    }
    for status in [*operation.errors.split(), *(["401", "403"] if secured else [])]:
        fault = "Ready" if name == "ready" else "Faults" if status == "422" else "Error"
        found["responses"][status] = response(MEANINGS[status], ref(fault))
    if operation.body:
        schema = one_or(operation.body)
        found["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    if name == "decide":
        found["parameters"] = [KEY]
    if secured:
        found["security"] = [{"key": []}]
    return {"post" if operation.body else "get": found}


def response(description: str, schema: Schema) -> Schema:
    """A response of JSON."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def ref(name: str) -> Schema:
    """A schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def one_or(name: str) -> Schema:
    """One of a schema, or a list of up to MOST."""
    several = {"type": "array", "items": ref(name), "minItems": 1, "maxItems": MOST}
    return {"oneOf": [ref(name), several]}


def optional(schema: Schema) -> Schema:
    """A schema, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def schemas(release: Release) -> Schema:
    """The schemas that the addresses share."""
    classes, kind = release.card.classes, release.kind
    by_class = {"type": "object", "required": classes, "properties": dict.fromkeys(classes, NUMBER)}
    score = by_class if len(kind.score_names) > 1 else NUMBER
    named = [{"required": [name], "properties": {name: TEXT}} for name in ("decision", "unit")]
    decision = kind.choose({"enum": kind.decisions}, NUMBER)
    item = Item.model_json_schema()
    item["properties"]["row"] = ref("Row")
    return {
        "Row": row(release),
        "Item": item,
        "Decision": record(
            id=optional(TEXT),
            unit=TEXT,
            decision=decision,
            by={"enum": ["current", "release"]},
            score=optional(score),
            version=TEXT,
            experiment=optional(TEXT),
            arm=optional(TEXT),
            propensity=NUMBER,
            fallback=BOOLEAN,
        ),
        "Outcome": OutcomeItem.model_json_schema() | {"anyOf": named},
        "Counts": record(new=INTEGER, known=INTEGER, stray=INTEGER, conflict=INTEGER),
        "Prediction": record(score=score, decision=decision, version=TEXT),
        "Version": record(
            task=TEXT, version=TEXT, digest=TEXT, run=TEXT, path={"enum": ["compiled", "pipeline"]}
        ),
        "Health": record(status={"const": "ok"}),
        "Ready": record(ready=BOOLEAN, detail=TEXT),
        "Error": record(detail=TEXT),
        "Faults": record(detail={"oneOf": [TEXT, {"type": "array", "items": FAULT}]}),
    }


def row(release: Release) -> Schema:
    """A row: every column with type, range, categories and an example; others are not looked at."""
    fields = row_schema(release).fields
    return {
        "type": "object",
        "required": [field.name for field in fields if field.required],
        "properties": {field.name: field.json_schema() for field in fields},
    }


def record(**properties: Schema) -> Schema:
    """An object that has exactly these properties."""
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }
