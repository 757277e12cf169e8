"""The kinds of target: two classes, several, or a number. Nothing else asks which a task has."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import pandas as pd

from ..errors import Refusal
from ..task.definition import Amount, Outcomes, Task
from .expressions import evaluate

T = TypeVar("T")
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Kind(ABC):
    """What a task predicts and decides.

    Scores have shape (n,), or (n, classes) where classes are several; `classes` are the outcomes
    that can happen, in the order of a score's columns, and none for numbers.
    """

    task: Task
    classes: list[str]

    measure: ClassVar[str] = "log_loss"
    """The metric that candidates are compared by."""
    loss: ClassVar[str] = "log loss"
    """What `losses` gives, in words."""
    right: ClassVar[str] = "right decisions"
    """What money is counted in where the task gives no values."""
    has_one_probability: ClassVar[bool] = False
    """Whether a score is the probability of one outcome, which can be sorted and calibrated."""

    @abstractmethod
    def outcomes(self, frame: pd.DataFrame) -> Array:
        """The outcome of each row, shape (n,): 1 or 0, a label, or a number."""

    def encode(self, outcomes: Array) -> Array:
        """Outcomes as an estimator takes them: class numbers from 0, or the numbers themselves."""
        return outcomes

    def decode(self, encoded: Iterable[float]) -> list[Any]:
        """Outcomes from what `encode` gives."""
        return list(encoded)

    def choose(self, classes: T, numbers: T) -> T:
        """One of two things: what suits classes, or what suits numbers."""
        return numbers

    def probabilities(self, scores: Array) -> Array:
        """Scores with a column for each class, shape (n, classes); numbers stay as they are."""
        return scores

    @abstractmethod
    def losses(self, scores: Array, outcomes: Array) -> Array:
        """Each row's loss, shape (n,): minus the log of its outcome's probability, or error²."""

    @abstractmethod
    def metrics(self, scores: Array, outcomes: Array) -> dict[str, float]:
        """The field's metrics of scores, by name."""

    @abstractmethod
    def decide(
        self, frame: pd.DataFrame, scores: Array, residuals: list[float] | None = None
    ) -> Array:
        """The action of greatest expected value for each row, shape (n,).

        `residuals` are what `residual_quantiles` gave; a number is decided without bias without.
        """

    @abstractmethod
    def value(self, frame: pd.DataFrame, actions: Array, outcomes: Array) -> Array:
        """What each row's action earned given its outcome, shape (n,), in the currency."""

    def expected_value(self, frame: pd.DataFrame, scores: Array) -> Array:
        """What the best action is expected to be worth, shape (n,): known before the decision.

        Of numbers the score itself stands in.
        """
        return np.asarray(scores, dtype=float)

    @abstractmethod
    def actions(self, raw: Array, usual: float = 0.0) -> Array:
        """Recorded or computed decisions as actions, shape (n,); for a missing number the usual."""

    def certain(self, actions: Array) -> Array:
        """Actions as scores: certainty for what was decided; numbers stay as they are."""
        return np.asarray(actions, dtype=float)

    def constant_actions(self, outcomes: Array) -> list[Any]:
        """The actions among which the best constant one is looked for: every decision."""
        return self.decisions

    def constant_score(self, outcomes: Array, action: Any) -> Array:
        """The score of one row where nothing is known of it, shape () or (classes,).

        Of numbers it is the constant itself.
        """
        return np.asarray(action, dtype=float)

    @abstractmethod
    def cases(self, actions: Array, outcomes: Array) -> list[str]:
        """Each row's combination of decision and outcome, in words."""

    def is_right(self, actions: Array, outcomes: Array) -> Array:
        """Whether each row's action is the right one, shape (n,)."""
        return np.asarray(actions == outcomes)

    @property
    def amounts(self) -> dict[str, dict[str, Amount]]:
        """What each decision, or each unit of error, is worth."""
        value = self.task.value
        over, under = value.over or 1, value.under or 1
        return {"one unit too many": {"costs": over}, "one too few": {"costs": under}}

    @property
    def decisions(self) -> list[str]:
        """What can be decided; empty where it is a number."""
        return []

    @property
    def score_names(self) -> list[str]:
        """What a score's columns are called: `score`; for several classes `score_CLASS` each."""
        return ["score"]

    def check(self, frame: pd.DataFrame) -> Array:
        """The outcomes, or a Refusal when nothing can be learned from them."""
        outcomes, column = self.outcomes(frame), frame[self.task.target.column]
        if len(pd.unique(outcomes)) < 2:
            raise Refusal(
                f"The target {column.name!r} has one value only ({column.iloc[0]}): "
                "there is nothing to predict."
            )
        return outcomes

    def check_part(self, part: str, outcomes: Array, rows: int, least: int) -> None:
        """Refuse a part of `rows` whose outcomes, shape (n,), are too few to learn or judge by."""
        counts = self.counts(outcomes)
        name, fewest = next(iter(counts.iloc[::-1].items()), ("any class", 0))
        if len(counts) < self.choose(2, 1) or fewest < least:
            raise Refusal(
                f"The {part} has only {fewest} examples of {name} ({rows} rows in all): "
                "at least 5 of each class are needed."
            )

    def counts(self, outcomes: Array) -> "pd.Series[int]":
        """How many rows have each outcome, the most frequent first."""
        return pd.Series(outcomes).value_counts()

    def residual_quantiles(self, scores: Array, outcomes: Array) -> list[float] | None:
        """Quantiles, from 0 to 1, of outcome less score on rows not fitted on; None for classes."""
        return None

    def usual_action(self, outcomes: Array) -> float | None:
        """The action where the current process gives none: the median; None for classes."""
        return None


class Classes(Kind):
    """What two classes and several have in common."""

    @property
    def amounts(self) -> dict[str, dict[str, Amount]]:
        """What each decision is worth for each outcome; without values, 1 for a right decision."""
        right: dict[str, dict[str, Amount]] = {
            decided: {c: int(c == decided) for c in self.classes} for decided in self.classes
        }
        return dict(self.task.value.matrix or right)

    @property
    def decisions(self) -> list[str]:
        """What can be decided."""
        return list(self.amounts)

    def choose(self, classes: T, numbers: T) -> T:
        """What suits classes."""
        return classes

    def probabilities(self, scores: Array) -> Array:
        """Scores with a column for each class, shape (n, classes)."""
        return np.column_stack([1 - scores, scores]) if scores.ndim == 1 else scores

    def losses(self, scores: Array, outcomes: Array) -> Array:
        """Minus the log of the probability given to what happened, shape (n,)."""
        rows = np.arange(len(outcomes))
        happened = self.probabilities(scores)[rows, self.encode(outcomes)]
        return -np.log(np.clip(happened, 1e-6, 1))

    def decision_values(self, frame: pd.DataFrame) -> Array:
        """What each decision is worth for each outcome, rows x decisions x classes.

        It is in the currency; Refusal where an amount is not stated.
        """
        amounts = self.amounts
        places = {f"value.{d}.{c}": (d, c) for d in amounts for c in self.classes}
        for decided, actual in places.values():
            if actual not in amounts[decided]:
                raise Refusal(
                    f"value.matrix does not say what deciding {decided!r} is worth "
                    f"when {actual!r} is true."
                )
        cells = evaluate({place: amounts[d][c] for place, (d, c) in places.items()}, frame)
        table = np.stack([cells[place] for place in places], axis=-1).astype(float)
        return table.reshape(len(frame), len(amounts), len(self.classes))

    def decide(
        self, frame: pd.DataFrame, scores: Array, residuals: list[float] | None = None
    ) -> Array:
        """The action of greatest expected value for each row; of equals the first."""
        best = self._expected(frame, scores).argmax(axis=1)
        return np.array(self.decisions, dtype=object)[best]

    def expected_value(self, frame: pd.DataFrame, scores: Array) -> Array:
        """What the best action is expected to be worth, shape (n,)."""
        return self._expected(frame, scores).max(axis=1)

    def _expected(self, frame: pd.DataFrame, scores: Array) -> Array:
        """What each decision is expected to be worth, rows x decisions: sums of p times worth."""
        worth = self.decision_values(frame)
        return np.einsum("rdc,rc->rd", worth, self.probabilities(scores))

    def value(self, frame: pd.DataFrame, actions: Array, outcomes: Array) -> Array:
        """What each row's action earned given its outcome, shape (n,), in the currency."""
        taken = pd.Index(self.decisions).get_indexer(pd.Index(actions))
        if (taken < 0).any():
            raise Refusal(
                f"The decision {actions[taken < 0][0]!r} is not one of {', '.join(self.decisions)}."
            )
        worth = self.decision_values(frame)
        return worth[np.arange(len(frame)), taken, self.encode(outcomes)]

    def cases(self, actions: Array, outcomes: Array) -> list[str]:
        """Such as "act, outcome positive"."""
        pairs = zip(actions, self.encode(outcomes), strict=True)
        return [f"{action}, outcome {self.classes[index]}" for action, index in pairs]


class Binary(Classes):
    """Two classes: a score is the probability of the positive one; it is acted or left."""

    has_one_probability = True

    @property
    def amounts(self) -> dict[str, dict[str, Amount]]:
        """What leaving and acting are worth for each outcome; without values, 1 if right."""
        leave = self.task.value.leave or Outcomes(negative=1, positive=0)
        act = self.task.value.act or Outcomes(negative=0, positive=1)
        return {"leave": leave.model_dump(), "act": act.model_dump()}

    def outcomes(self, frame: pd.DataFrame) -> Array:
        """1 where the target is the positive label, else 0."""
        column, positive = frame[self.task.target.column], self.task.target.positive
        hit = column.astype(str) == str(positive)
        if not hit.any() and pd.api.types.is_numeric_dtype(column):
            hit = column == pd.to_numeric(pd.Series([positive]), errors="coerce")[0]
        return hit.to_numpy().astype(int)

    def encode(self, outcomes: Array) -> Array:
        """The outcomes as they are."""
        return np.asarray(outcomes).astype(int)

    def decode(self, encoded: Iterable[float]) -> list[Any]:
        """1 or 0 for each."""
        return [int(one) for one in encoded]

    def check(self, frame: pd.DataFrame) -> Array:
        """The outcomes; refused where the positive label is not there, or is the only one."""
        outcomes, target = self.outcomes(frame), self.task.target
        if not outcomes.any():
            seen = ", ".join(map(str, frame[target.column].unique()[:5]))
            raise Refusal(
                f"target.positive is {target.positive!r}, which is not in {target.column!r} "
                f"(it holds {seen})."
            )
        return super().check(frame)

    def metrics(self, scores: Array, outcomes: Array) -> dict[str, float]:
        """Log loss and ROC AUC."""
        from sklearn.metrics import roc_auc_score

        loss = float(self.losses(scores, outcomes).mean())
        return {"log_loss": loss, "roc_auc": float(roc_auc_score(outcomes, scores))}

    def actions(self, raw: Array, usual: float = 0.0) -> Array:
        """`act` for what says yes or names the positive label, else `leave`."""
        yes = ["true", "1", "1.0", "act", "yes", str(self.task.target.positive).lower()]
        acts = pd.Series(raw).astype(str).str.lower().isin(yes)
        return np.where(acts, "act", "leave").astype(object)

    def is_right(self, actions: Array, outcomes: Array) -> Array:
        """Whether it was acted on a positive outcome or a negative one left, shape (n,)."""
        return np.asarray((actions == "act") == (outcomes == 1))

    def certain(self, actions: Array) -> Array:
        """1 where it was acted, else 0."""
        return (actions == "act").astype(float)

    def constant_score(self, outcomes: Array, action: Any) -> Array:
        """The share of positive outcomes."""
        return np.asarray(outcomes.mean())


class Multiclass(Classes):
    """Several classes: a score is a probability for each, a decision one of them or the task's."""

    @property
    def score_names(self) -> list[str]:
        """`score_CLASS` for each class; of two of them one says all."""
        return [f"score_{name}" for name in self.classes] if len(self.classes) > 2 else ["score"]

    def outcomes(self, frame: pd.DataFrame) -> Array:
        """The label of each row, as text."""
        return frame[self.task.target.column].astype(str).to_numpy(dtype=object)

    def encode(self, outcomes: Array) -> Array:
        """The number of each label among the classes."""
        if np.issubdtype(np.asarray(outcomes).dtype, np.number):
            return np.asarray(outcomes).astype(int)
        return pd.Index(self.classes).get_indexer(pd.Index(outcomes))

    def decode(self, encoded: Iterable[float]) -> list[Any]:
        """The label of each class number."""
        return [self.classes[int(one)] for one in encoded]

    def metrics(self, scores: Array, outcomes: Array) -> dict[str, float]:
        """Log loss and accuracy."""
        hits = self.probabilities(scores).argmax(axis=1) == self.encode(outcomes)
        return {
            "log_loss": float(self.losses(scores, outcomes).mean()),
            "accuracy": float(hits.mean()),
        }

    def actions(self, raw: Array, usual: float = 0.0) -> Array:
        """The labels decided, as text."""
        return pd.Series(raw).astype(str).to_numpy(dtype=object)

    def value(self, frame: pd.DataFrame, actions: Array, outcomes: Array) -> Array:
        """What each row's action earned given its outcome, be it a class never seen before."""
        decided = actions[:0] if self.task.value.matrix else actions
        labels = sorted({str(label) for label in (*outcomes, *decided)})
        return Classes.value(Multiclass(self.task, labels), frame, actions, outcomes)

    def certain(self, actions: Array) -> Array:
        """Probability 1 for the class that was decided."""
        return np.stack([(actions == name).astype(float) for name in self.classes], axis=1)

    def constant_score(self, outcomes: Array, action: Any) -> Array:
        """The share of each class."""
        return np.array([(outcomes == name).mean() for name in self.classes])


class Regression(Kind):
    """A number: so are score and decision; what it costs to be wrong differs by side."""

    measure = "rmse"
    loss = "squared error"
    right = "of absolute error"

    def outcomes(self, frame: pd.DataFrame) -> Array:
        """The target's numbers."""
        return np.asarray(
            pd.to_numeric(frame[self.task.target.column], errors="raise"), dtype=float
        )

    def check(self, frame: pd.DataFrame) -> Array:
        """The outcomes; refused where they are text, or all the same."""
        column = frame[self.task.target.column]
        if not pd.api.types.is_numeric_dtype(column):
            raise Refusal(
                f"target.column {column.name!r} holds text, not numbers: "
                "set `kind: multiclass`, or mend it."
            )
        return super().check(frame)

    def counts(self, outcomes: Array) -> "pd.Series[int]":
        """How many numbers there are."""
        return pd.Series({self.task.target.column: len(outcomes)})

    def losses(self, scores: Array, outcomes: Array) -> Array:
        """The squared error of each row, shape (n,)."""
        return (np.asarray(scores, dtype=float) - outcomes) ** 2

    def metrics(self, scores: Array, outcomes: Array) -> dict[str, float]:
        """Root mean squared error and mean absolute error, in the target's unit."""
        from sklearn.metrics import mean_absolute_error, root_mean_squared_error

        return {
            "rmse": float(root_mean_squared_error(outcomes, scores)),
            "mae": float(mean_absolute_error(outcomes, scores)),
        }

    def costs(self, frame: pd.DataFrame) -> tuple[Array, Array]:
        """What one unit too much and one too little cost in each row, shape (n,) each."""
        value = self.task.value
        costs = evaluate({"value.over": value.over or 1, "value.under": value.under or 1}, frame)
        return costs["value.over"], costs["value.under"]

    def decide(
        self, frame: pd.DataFrame, scores: Array, residuals: list[float] | None = None
    ) -> Array:
        """The score plus the under / (over + under) quantile of the residuals.

        Arrow, Harris & Marschak 1951.
        """
        numbers = np.asarray(scores, dtype=float)
        if not residuals:
            return numbers
        over, under = self.costs(frame)
        share = under / (over + under).astype(float)
        return numbers + np.interp(share, np.linspace(0, 1, len(residuals)), residuals)

    def value(self, frame: pd.DataFrame, actions: Array, outcomes: Array) -> Array:
        """Minus the cost of each row's error, shape (n,)."""
        over, under = self.costs(frame)
        error = np.asarray(actions, dtype=float) - outcomes
        return -np.where(error > 0, over * error, under * -error).astype(float)

    def actions(self, raw: Array, usual: float = 0.0) -> Array:
        """The numbers decided; a missing one becomes the usual one."""
        numbers = pd.Series(pd.to_numeric(raw, errors="coerce")).astype(float)
        return numbers.fillna(usual).to_numpy()

    def cases(self, actions: Array, outcomes: Array) -> list[str]:
        """Too many, or too few."""
        return list(np.where(actions > outcomes, "too many", "too few"))

    def constant_actions(self, outcomes: Array) -> list[Any]:
        """Quantiles of the outcomes, from 5 % to 95 %."""
        return list(np.quantile(outcomes, np.linspace(0.05, 0.95, 19)))

    def residual_quantiles(self, scores: Array, outcomes: Array) -> list[float] | None:
        """Up to 101 quantiles, from 0 to 1, of outcome less score."""
        shares = np.linspace(0, 1, min(101, len(outcomes)))
        return [float(quantile) for quantile in np.quantile(outcomes - scores, shares)]

    def usual_action(self, outcomes: Array) -> float | None:
        """The median outcome."""
        return float(np.median(outcomes))


def kind_of(task: Task, outcomes: Iterable[Any] = ()) -> Kind:
    """The kind of a task's target; several classes are those among the outcomes, a column's say."""
    if task.target.kind == "multiclass":
        return Multiclass(task, sorted({str(one) for one in outcomes}))
    if task.target.kind == "regression":
        return Regression(task, [])
    return Binary(task, ["negative", "positive"])
