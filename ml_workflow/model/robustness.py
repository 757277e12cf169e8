"""How data breaks, and who notices: the contract, monitoring, or nobody."""

import numpy as np
import pandas as pd

from ..data.columns import type_of
from ..data.corruptions import CORRUPTIONS, NOTHING, Sample
from ..data.joins import inputs
from ..data.window import Window, alarms_of, window_of
from ..decision.kinds import Array, Kind
from .release import Release


def seen(kind: Kind, frame: pd.DataFrame, scores: Array | None) -> Window:
    """Rows as monitoring sees them: inputs, and with scores also these, losses and residuals."""
    table = inputs(kind.task, frame)
    if scores is None:
        return Window(table)
    return window_of(kind, table, scores, kind.outcomes(frame))


def corruption_matrix(
    release: Release,
    strongest: list[str],
    rows: pd.DataFrame,
    past: pd.DataFrame,
    past_scores: Array,
    seed: int,
) -> pd.DataFrame:
    """For each way that data breaks: verdict, decisions changed, what contract and monitoring say.

    The verdict names the first of the two that tells, or says harmless or missed. What they say of
    sound rows too does not count. `strongest` are the columns to break, the strongest first; `past`
    are rows that monitoring has seen with their scores and that may come again.
    """
    kind, task = release.kind, release.task
    reference = seen(kind, past, past_scores)
    types = {c: type_of(reference.inputs[c]) for c in strongest if c in reference.inputs}
    numbers = [name for name, its in types.items() if its in ("integer", "number")]
    texts, times = ([n for n, its in types.items() if its == one] for one in ("text", "time"))
    sample = Sample(rows, past, numbers, texts, times, task.unit, task.target.column, seed)

    def alarms(frame: pd.DataFrame, scores: Array | None) -> dict[str, dict[str, str]]:
        faults = release.contract.faults(frame, task.unit, task.private)
        return {
            "contract": dict.fromkeys(faults["column"] + " " + faults["rule"], ""),
            "monitoring": alarms_of(reference, seen(kind, frame, scores), strongest, len(rows)),
        }

    sound, table = decided(release, rows)[1], []
    false: dict[str, dict[str, str]] = {}
    for way, corrupt in {NOTHING: lambda sample: sample.rows, **CORRUPTIONS}.items():
        broken = corrupt(sample)
        if broken is None:
            continue
        scores, actions = decided(release, broken)
        found, changed = alarms(broken, scores), share_changed(sound, actions)
        said = {check: in_words(found[check], false.get(check, {})) for check in found}
        false = false or found
        unseen = "missed" if changed else "harmless"
        verdict = next((check for check, words in said.items() if words), unseen)
        by_check = {f"by {check}": words for check, words in said.items()}
        table.append({"way": way, "verdict": verdict, "decisions changed": changed, **by_check})
    return pd.DataFrame(table).set_index("way")


def in_words(alarms: dict[str, str], false: dict[str, str]) -> str:
    """The first alarm that sound rows do not raise, and how many more there are; "" for none."""
    own = [f"{name}: {how}" if how else name for name, how in alarms.items() if name not in false]
    more = f" (and {len(own) - 1} more)" if len(own) > 1 else ""
    return f"{own[0]}{more}" if own else ""


def decided(release: Release, rows: pd.DataFrame) -> tuple[Array | None, pd.Series | None]:
    """Scores and, by unit, actions; None for rows that cannot be scored."""
    try:
        scores = release.score(rows)
        actions = release.decide(rows, scores)
        return scores, pd.Series(actions, index=rows[release.task.unit].to_numpy())
    except Exception:  # whatever a model says to rows that it was not made for
        return None, None


def share_changed(sound: pd.Series | None, actions: pd.Series | None) -> float:
    """The share of the sound rows' decisions that are changed, doubled or lost."""
    if sound is None or actions is None:
        return 1.0
    once = actions[~actions.index.duplicated(keep=False)].reindex(sound.index)
    if pd.api.types.is_numeric_dtype(sound):
        same = np.isclose(once.astype(float), sound.astype(float))
    else:
        same = (once == sound).to_numpy()
    return float(1 - same.mean())
