"""The task: what is decided, from which data, and what each decision is worth."""

from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..errors import Refusal

Amount = float | str
"""A number, or an SQL expression over the table's columns."""


class Part(BaseModel):
    """A part of the task file; keys that are not known are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Source(Part):
    """A table: a file, a folder of files, or a database URL with a query.

    It is joined to the first on the unit. A history has many rows a unit: `aggregate` says how they
    become one, as SQL by name or as a function of 02_dataset. `time` is the column that says when a
    row was known; of the first source, when the decision is made.
    """

    name: str
    """What the source is called in messages and in `aggregate`."""
    uri: str
    """A path from the project's folder, or a database URL; secrets stay outside as `${NAME}`."""
    query: str | None = None
    """The SQL that gives the rows, where `uri` is a database."""
    available: Literal["at decision", "after decision"] = "at decision"
    """A source known only afterwards may hold the outcome; it may not feed the model."""
    aggregate: dict[str, str] | str | None = None
    """How many rows a unit become one: new columns as SQL by name, or a function of 02_dataset."""
    time: str | None = None
    """The column that says when a row was known; rows later than the decision are left out."""


class Target(Part):
    """What is predicted."""

    column: str
    """The column that holds what came of it."""
    kind: Literal["binary", "multiclass", "regression"]
    """Two classes, several classes, or a number."""
    positive: str | int | float | bool | None = None
    """The label whose probability is the score; a binary target needs it."""
    known_after: str = "at once"
    """How late the outcome arrives, such as `30 days`."""

    @property
    def delay(self) -> float:
        """Seconds until an outcome is known, 0 for at once; raises Refusal for no such time."""
        if self.known_after == "at once":
            return 0.0
        try:
            return float(pd.Timedelta(self.known_after).total_seconds())
        except ValueError:
            raise Refusal(
                f"target.known_after is {self.known_after!r}: write a time such as `30 days` or "
                "`1 hour`, or `at once`."
            ) from None


class CurrentProcess(Part):
    """How it is decided today: an SQL expression, or a column of recorded decisions."""

    describe: str
    """The process in a sentence that everyone understands; it stands in every report."""
    decide: str | None = None
    """An SQL expression over the table's columns: whether to act, the class, or the number."""
    column: str | None = None
    """The column that holds what people or an older system decided."""

    @model_validator(mode="after")
    def _one(self) -> "CurrentProcess":
        if (self.decide is None) == (self.column is None):
            raise ValueError(
                "give either `decide` (an SQL expression) or `column` (recorded decisions)"
            )
        return self


class Outcomes(Part):
    """What one decision is worth when the truth is positive, and when it is negative."""

    positive: Amount
    """An amount, or an SQL expression, when the truth is positive."""
    negative: Amount
    """The same when the truth is negative."""


class Value(Part):
    """What a decision is worth in the currency.

    Costs are of the model that would replace the current process.
    """

    currency: str = "right decisions"
    """What amounts are in, such as `NT$`."""
    because: str = ""
    """Where the amounts come from; it stands in every report."""
    act: Outcomes | None = None
    """Two classes: what it brings to act."""
    leave: Outcomes | None = None
    """Two classes: what it brings to leave it."""
    matrix: dict[str, dict[str, Amount]] | None = None
    """Several classes: `{decided: {actual: amount}}`."""
    over: Amount | None = None
    """Regression: what each unit too much costs."""
    under: Amount | None = None
    """Regression: what each unit too little costs."""
    decisions_per_month: int | None = Field(None, gt=0)
    """How many are decided in a month; without it figures are for 1,000 decisions."""
    build_cost: float = Field(0, ge=0)
    """What building the new process costs, once; without it no return is stated."""
    run_cost_per_month: float = Field(0, ge=0)
    """What running it costs a month; net value is what is left."""


class Split(Part):
    """How the holdout is set apart."""

    by: Literal["random", "time", "group", "given"] = "random"
    """By hash of the unit, the latest in time, whole groups, or as a column says.

    That column holds train, validation or test.
    """
    column: str | None = None
    """The column that says so; random needs none."""
    holdout: float = Field(0.2, gt=0, lt=0.9)
    """The share of the rows that no model sees before stage 04."""

    @model_validator(mode="after")
    def _column(self) -> "Split":
        if self.by != "random" and self.column is None:
            raise ValueError(f"`by: {self.by}` needs `column:`, the column that says so")
        return self


class Success(Part):
    """When the money is good enough."""

    min_roi: float = 0.0
    """The least return on the cost of building; 1 means that it is earned twice."""
    horizon_months: int = Field(12, gt=0)
    """Over how many months the return is counted."""


class Retrain(Part):
    """When a challenger may replace the champion: surely it earns more by more than the margin."""

    margin: float = Field(0.0, ge=0)
    """In the currency, a decision."""


class Reference(Part):
    """How others solved it, what they reached, and how far that can be compared."""

    who: str
    """Author and year."""
    approach: str
    """What they did."""
    reached: str
    """What came of it."""
    comparable: str
    """How far it can be compared with this task."""
    link: str = ""
    """Where to read it."""


class Guardrail(Part):
    """A metric that must not get worse: `fallback`, `action NAME` or a table's column."""

    margin: float = Field(gt=0)
    """The loss that would be accepted, in the metric's unit."""
    better: Literal["higher", "lower"] = "higher"
    """Which way is better."""


class ABTest(Part):
    """How the A/B test is planned and judged."""

    guardrails: dict[str, Guardrail] = {}
    """Metrics that must not get worse, by name."""
    segments: list[str] = Field([], max_length=5)
    """Columns of the row as given, within which the effect is compared."""
    covariate: str | None = None
    """Known before the decision: `score`, or a column of the row as given."""
    looks: int = Field(20, ge=1, le=100)
    """How often the plan looks at the effect."""
    sides: Literal[1, 2] = 2
    """2: better or worse; 1: better only."""
    uncertain: dict[
        Literal["decisions_per_month", "build_cost", "run_cost_per_month"], tuple[float, float]
    ] = {}
    """95 % ranges of what the return hangs on, such as decisions_per_month: [25000, 35000]."""


VALUES = {"binary": ("act", "leave"), "multiclass": ("matrix",), "regression": ("over", "under")}
"""By kind of target the keys of `value` that say what its decisions are worth: both or neither."""
NEEDS_POSITIVE = ("binary",)
"""The kinds of target that need `positive`."""


class Task(Part):
    """A whole task file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """What the task is called; runs bear this name."""
    question: str
    """What is asked, as a person would; it heads every report."""
    unit: str
    """The column that names the example: the key of every join, assignment and decision."""
    sources: list[Source] = Field(min_length=1)
    """The tables; the first holds the examples, the others are joined to it."""
    target: Target
    """What is predicted."""
    current_process: CurrentProcess | None = None
    """How it is decided today; without it the best constant decision stands in."""
    value: Value = Value()
    """What decisions are worth; without it a right decision counts one."""
    split: Split = Split()
    """How the holdout is set apart."""
    success: Success = Success()
    """When the money is good enough."""
    abtest: ABTest = ABTest()
    """How the A/B test is planned and judged."""
    retrain: Retrain = Retrain()
    """When a challenger may replace the champion."""
    features: str | None = None
    """A function of 02_dataset that makes the inputs; without it the table is taken as it is."""
    exclude: list[str] = []
    """Columns that no model may see."""
    private: list[str] = []
    """Columns whose values never stand in a page, a log or an example."""
    wanted: list[str] = []
    """Data that a human would want and the table does not have."""
    research: list[Reference] = []
    """How others solved it."""

    @model_validator(mode="after")
    def _sources_fit(self) -> "Task":
        first, *others = self.sources
        if first.available == "after decision" or first.aggregate:
            raise ValueError(
                f"sources.0 ({first.name}) holds the examples: it must be available at decision, "
                "and is not aggregated"
            )
        timed = [source.name for source in others if source.time]
        if timed and not first.time:
            raise ValueError(
                f"the source {timed[0]} has a `time`, but sources.0 ({first.name}) has none to "
                "compare it with: say which column holds the moment of the decision"
            )
        return self

    @model_validator(mode="after")
    def _values_fit(self) -> "Task":
        kind, stated = self.target.kind, self._stated_values
        if kind in NEEDS_POSITIVE and self.target.positive is None:
            raise ValueError(
                "target.positive is missing: the label that the score is the probability of"
            )
        for key in stated:
            if key not in VALUES[kind]:
                raise ValueError(f"value.{key} does not fit a {kind} target")
        if stated and len(stated) < len(VALUES[kind]):
            keys = " and ".join(f"value.{key}" for key in VALUES[kind])
            raise ValueError(f"{keys} belong together: give both or neither")
        return self

    @property
    def _stated_values(self) -> list[str]:
        keys = [key for of_kind in VALUES.values() for key in of_kind]
        return [key for key in keys if getattr(self.value, key) is not None]

    @property
    def has_values(self) -> bool:
        """Whether the task says what decisions are worth."""
        return bool(self._stated_values)

    @property
    def inputs_left_out(self) -> list[str]:
        """Columns that no model may see.

        A key that orders the rows in time may be seen, as a time.
        """
        split, process = self.split, self.current_process
        is_time = split.by == "time" and split.column == self.unit
        columns = [
            None if is_time else self.unit,
            self.target.column,
            *self.exclude,
            split.column if split.by in ("given", "group") else None,
            process.column if process else None,
        ]
        return [column for column in columns if column]
