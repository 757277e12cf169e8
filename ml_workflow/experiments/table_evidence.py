"""The evidence in a table from elsewhere: a CSV, Parquet or JSON file, read by DuckDB."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from ..data.tables import format_of
from ..errors import Refusal, nearest
from ..store.address import first_line
from ..store.files import root
from ..task.definition import ABTest
from .evidence import Evidence, Phase, with_repetition
from .plan import ARMS, weights_of

NEEDED = ("unit", "arm", "value", "time")
OPTIONAL = ("exposed", "phase", "covariate")
TEXTS = {"arm": sa.Text, "unit": sa.Text}
READERS = {"csv": "read_csv", "parquet": "read_parquet", "json": "read_json"}


def open_table(
    where: str, name: str, mapping: str, share: float, abtest: ABTest, now: float | None
) -> Evidence:
    """The evidence of a table, one row a decision or a unit, of which `share` are the release's.

    Its outcomes are final, unless it says when units were exposed. Counted is up to now, else up to
    the last time in it.
    """
    names, label = _pairs(mapping), name or Path(where).name
    connection = duckdb.connect()
    source = _source(where, connection)
    others = [*abtest.guardrails, *abtest.segments]
    columns = _columns(where, names, source.columns, others)
    expressions = _expressions(columns, source, others)
    with _sentences(where):
        source.select(*(sql.alias(name) for name, sql in expressions.items())).create_view("rows")
        last, count, timed, known = connection.execute(
            "SELECT greatest(max(exposed), max(arrived)), count(*), count(exposed), count(unit) "
            "FROM rows"
        ).fetchall()[0]
    if count != timed:
        column = columns.get("exposed", columns["time"])
        raise Refusal(
            f"Experiment {label}: {count - timed:,} of {count:,} rows have no time in {column!r}: "
            "fill it, or leave these rows out."
        )

    def ask(query: sa.Select[Any]) -> pd.DataFrame:
        with _sentences(where):
            return connection.execute(_sql(query)).df()

    evidence = Evidence(
        name=label,
        rows=sa.table("rows", *(sa.column(c, TEXTS.get(c, sa.Double)) for c in expressions)),
        ask=ask,
        now=now or float(last or 0),
        phases=[Phase(weights_of(share))],
        abtest=abtest,
        is_final="exposed" not in columns,
        arms={theirs: ours for theirs, ours in names.items() if ours in ARMS},
        strays=count - known,
    )
    return with_repetition(evidence, has_keys=False)


def _source(where: str, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    """The file as DuckDB reads it."""
    path = root() / Path(where).expanduser()
    reader = READERS.get(format_of(path) or "")
    if not path.is_file() or reader is None:
        raise Refusal(
            f"The evidence {where} is neither a database URL nor a CSV, Parquet or JSON file that "
            "exists."
        )
    with _sentences(where):
        return getattr(connection, reader)(str(path))


def _sql(query: sa.Select[Any]) -> str:
    """The query in SQL, which DuckDB has of PostgreSQL."""
    literal = {"literal_binds": True}
    sql = query.compile(dialect=postgresql.dialect(), compile_kwargs=literal)
    return str(sql).replace("%%", "%")


@contextmanager
def _sentences(where: str) -> Iterator[None]:
    """What DuckDB refuses becomes a sentence."""
    try:
        yield
    except duckdb.Error as error:
        raise Refusal(f"The evidence {where} cannot be read: {first_line(error)}") from None


def _pairs(mapping: str) -> dict[str, str]:
    """`theirs=ours,…` as a dictionary from theirs to ours."""
    pairs = [part.split("=") for part in mapping.split(",") if part.strip()]
    if wrong := ["=".join(pair) for pair in pairs if len(pair) != 2]:
        raise Refusal(
            f"mapping has the part {wrong[0]!r}: write theirs=ours,…, such as "
            "user=unit,variant=arm,revenue=value,ts=time,B=release."
        )
    return {theirs.strip(): ours.strip() for theirs, ours in pairs}


def _columns(
    where: str, names: Mapping[str, str], there: Sequence[str], others: Sequence[str]
) -> dict[str, str]:
    """Our names of columns, each with the table's column behind it."""
    pairs = {theirs: ours for theirs, ours in names.items() if ours not in ARMS}
    known = [*NEEDED, *OPTIONAL, *others]
    if wrong := [ours for ours in pairs.values() if ours not in known]:
        raise Refusal(
            f"mapping names {wrong[0]!r}, which is no column of evidence ({', '.join(known)})."
            f"{nearest(wrong[0], known)}"
        )
    if wrong := [theirs for theirs in pairs if theirs not in there]:
        raise Refusal(
            f"mapping names the column {wrong[0]!r}, which {where} does not have."
            f"{nearest(wrong[0], there)}"
        )
    columns = {ours: ours for ours in known if ours in there}
    columns |= {ours: theirs for theirs, ours in pairs.items()}
    if missing := [ours for ours in (*NEEDED, *others) if ours not in columns]:
        raise Refusal(
            f"{where} has no column {missing[0]!r} (it has {', '.join(there)}): say by `mapping` "
            f"which it is, such as {there[0]}={missing[0]}."
        )
    return columns


def _expressions(
    columns: Mapping[str, str], source: duckdb.DuckDBPyRelation, others: Sequence[str]
) -> dict[str, duckdb.Expression]:
    """What each column of the evidence is made of."""
    theirs = {ours: duckdb.ColumnExpression(name) for ours, name in columns.items()}
    happened = _seconds(columns["time"], source)
    exposed = _seconds(columns.get("exposed", columns["time"]), source)
    return {
        "unit": theirs["unit"],
        "arm": theirs["arm"],
        "phase": theirs.get("phase", duckdb.ConstantExpression(1)),
        **dict.fromkeys(("exposed", "decided"), exposed),
        **dict.fromkeys(("happened", "arrived"), happened),
        "value": theirs["value"].cast("DOUBLE"),
        "covariate": theirs.get("covariate", duckdb.ConstantExpression(0)).cast("DOUBLE"),
        "weight": duckdb.ConstantExpression(1).cast("DOUBLE"),
        **{other: theirs[other] for other in others},
    }


def _seconds(name: str, source: duckdb.DuckDBPyRelation) -> duckdb.Expression:
    """Seconds since 1970, from a number of them, a date or a text that reads as a date."""
    kind, column = str(source[name].types[0]), duckdb.ColumnExpression(name)
    if kind == "VARCHAR":
        column = column.cast("TIMESTAMP")
    is_time = kind.startswith(("VARCHAR", "DATE", "TIME"))
    return (duckdb.FunctionExpression("epoch", column) if is_time else column).cast("DOUBLE")
