"""The A/B statistics against their bars, by simulation: python benchmarks/abtest.py

The last table is kept in benchmarks/abtest.txt. Seeds are fixed; a figure may exceed its bar by the
two standard errors beside it.
"""

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
from scipy import stats

from ml_workflow.experiments import roi
from ml_workflow.experiments.evidence import Evidence
from ml_workflow.experiments.health import check_sums
from ml_workflow.experiments.looks import effect_within_phases, looks_by_day
from ml_workflow.experiments.opening import open_evidence
from ml_workflow.experiments.plan import Plan
from ml_workflow.experiments.tally import count_evidence, sum_by_day
from ml_workflow.statistics import assignment, drift, power, sample_ratio
from ml_workflow.statistics.bounds import bounds_at_looks, sequence_bound
from ml_workflow.statistics.checks import Interval
from ml_workflow.statistics.delay import delay_window, share_needed, slowest
from ml_workflow.statistics.effects import Effect, effect_of, stratified_effect
from ml_workflow.statistics.sums import Sums, sums_of
from ml_workflow.task.definition import ABTest

Array = np.ndarray
LOOKS = np.arange(1, 21) / 20


class Line(NamedTuple):
    """One row of the table."""

    what: str  # what is measured
    found: float  # the figure
    error: float  # two standard errors of it; 0 where it is no simulation
    simulations: str  # their number, or what the figure was taken over
    bar: str = ""  # the bar in words; empty for a figure shown only for comparison
    least: float = -np.inf  # bar from below
    most: float = np.inf  # bar from above

    @property
    def verdict(self) -> str:
        """yes, NO, or nothing where there is no bar."""
        held = self.least - self.error <= self.found <= self.most + self.error
        return ("yes" if held else "NO") if self.bar else ""


def share(
    what: str, hits: Array, bar: str = "", least: float = -np.inf, most: float = np.inf
) -> Line:
    """The share of simulations that hit, with its binomial error."""
    rate = float(np.mean(hits))
    error = 2 * np.sqrt(rate * (1 - rate) / len(hits))
    return Line(what, rate, float(error), f"{len(hits):,}", bar, least, most)


def arm(y: Array, d: Array | None = None, x: Array | None = None) -> Sums:
    """Sums over the last axis of units: one arm of many simulations at once."""
    d = np.ones_like(y, dtype=float) if d is None else d
    x = np.zeros_like(y, dtype=float) if x is None else x
    return Sums(
        np.full(y.shape[:-1], float(y.shape[-1])),
        *(part.sum(axis=-1) for part in (y, y * y, d, d * d, y * d, x, x * x, x * y, x * d)),
    )


def rates(successes: Array, units: Array) -> Sums:
    """Sums of a yes-or-no metric: its squares are itself."""
    units = np.broadcast_to(np.asarray(units, dtype=float), successes.shape)
    y = successes.astype(float)
    return Sums(units, y, y, units, units, y)


def conversions(
    generator: np.random.Generator,
    simulations: int,
    steps: int,
    units: int,
    base: float,
    changed: float,
) -> tuple[Sums, Sums]:
    """Both arms' sums, shape (simulations, looks), with `units` new units an arm between looks."""
    seen = units * np.arange(1, steps + 1)
    return tuple(  # type: ignore[return-value]
        rates(np.cumsum(generator.binomial(units, rate, (simulations, steps)), axis=1), seen)
        for rate in (base, changed)
    )


def z_of(effect: Effect, truth: float = 0.0) -> Array:
    """How many standard errors each estimate stands from the truth."""
    return np.abs(effect.difference - truth) / effect.standard_error


def one_look() -> Iterator[Line]:
    g = np.random.default_rng(1)
    money = [arm(g.exponential(100, (20_000, 500))) for _ in range(2)]
    effect = effect_of(*money)
    yield share(
        "one look, skewed money, 500 an arm: false positives",
        effect.p_value < 0.05,
        ".04 to .06",
        0.04,
        0.06,
    )
    effect = effect_of(*conversions(g, 20_000, 1, 2_000, 0.10, 0.11))
    covered = (effect.lower < 0.01) & (effect.upper > 0.01)
    yield share(
        "one look, rates .10 and .11, 2,000 an arm: coverage",
        covered[:, 0],
        "at least .94",
        least=0.94,
    )


def planned() -> Iterator[Line]:
    g = np.random.default_rng(2)
    criticals = np.array([b.critical for b in bounds_at_looks(LOOKS * 40_000, planned=40_000)])
    null = z_of(effect_of(*conversions(g, 20_000, 20, 1_000, 0.10, 0.10)))
    yield share(
        "20 looks, planned 20,000 an arm: false positives",
        (null > criticals).any(1),
        "at most .055",
        most=0.055,
    )
    yield share("  the same at 1.96 every time", (null > 1.96).any(1))
    real = effect_of(*conversions(g, 20_000, 20, 1_000, 0.10, 0.11))
    seen = (z_of(real) > criticals).any(1)
    alone = real.p_value[:, -1] < 0.05
    yield share("  power, .10 against .11", seen)
    yield share("  power of one look on the same data", alone)
    cost = alone.astype(float) - seen
    error = 2 * float(cost.std()) / np.sqrt(len(cost))
    yield Line(
        "  power lost by looking", float(cost.mean()), error, "20,000", "at most .025", most=0.025
    )
    ship = (real.difference > 0) & (z_of(real) > criticals)
    yield share(
        "  wrong: first finding is the worse arm", _first_is_wrong(ship, z_of(real) > criticals)
    )


def _first_is_wrong(right: Array, found: Array) -> Array:
    """Simulations whose first finding has the wrong sign."""
    first = found.argmax(axis=1)
    return found.any(1) & ~right[np.arange(len(right)), first]


def unplanned() -> Iterator[Line]:
    g = np.random.default_rng(3)
    fractions = np.arange(1, 1001) / 1000
    critical = sequence_bound(fractions)
    alarms, missed, found = [], [], []
    for _ in range(8):
        alarms.append(
            (z_of(effect_of(*conversions(g, 250, 1000, 20, 0.10, 0.10))) > critical).any(1)
        )
        effect = effect_of(*conversions(g, 250, 1000, 20, 0.10, 0.11))
        missed.append((z_of(effect, 0.01) > critical).any(1))
        found.append((z_of(effect) > critical).any(1))
    yield share(
        "1,000 looks, unplanned: false positives", np.concatenate(alarms), "at most .05", most=0.05
    )
    yield share(
        "  coverage over the whole time", ~np.concatenate(missed), "at least .95", least=0.95
    )
    yield share(
        "  power, .10 against .11, 20,000 an arm", np.concatenate(found), "at least .64", least=0.64
    )


def past_the_plan() -> Iterator[Line]:
    g = np.random.default_rng(4)
    units = np.arange(1, 101) * 2_000  # 20 looks to the plan, and on to five times its size
    criticals = np.array([b.critical for b in bounds_at_looks(units, planned=40_000)])
    null = np.concatenate(
        [z_of(effect_of(*conversions(g, 2_500, 100, 1_000, 0.10, 0.10))) for _ in range(8)]
    )
    yield share(
        "going on to 5 x the plan, 100 looks: false positives",
        (null > criticals).any(1),
        "at most .055",
        most=0.055,
    )
    naive = np.where(units <= 40_000, criticals, criticals[19])
    yield share("  the same at the last planned bound", (null > naive).any(1))
    yield share("  the same to 2 x the plan", (null[:, :40] > naive[:40]).any(1))


def covariate() -> Iterator[Line]:
    g = np.random.default_rng(5)
    for rho in (0.3, 0.7, 0.9):
        arms = []
        for _ in range(2):
            x = g.normal(size=(4_000, 400))
            arms.append(arm(rho * x + np.sqrt(1 - rho**2) * g.normal(size=x.shape), x=x))
        adjusted, plain = effect_of(*arms), effect_of(*arms, adjust=False)
        ratio = float(np.mean(adjusted.standard_error**2) / np.mean(plain.standard_error**2))
        real = float(np.var(adjusted.difference) / np.var(plain.difference))
        # A ratio of variances of paired estimates: its error follows from their correlation,
        # sqrt(1 - rho^2).
        error = 2 * 2 * (1 - rho**2) * rho / np.sqrt(4_000)
        theory = 1 - rho**2
        yield Line(
            f"CUPED, rho {rho}: variance ratio stated",
            ratio,
            0,
            "4,000",
            f"{theory:.2f} +- .03",
            theory - 0.03,
            theory + 0.03,
        )
        yield Line(
            "  variance ratio of the estimates",
            real,
            error,
            "4,000",
            f"{theory:.2f} +- .03",
            theory - 0.03,
            theory + 0.03,
        )
        if rho == 0.7:
            yield share("  false positives", adjusted.p_value < 0.05, ".04 to .06", 0.04, 0.06)


def clustered() -> Iterator[Line]:
    g = np.random.default_rng(6)
    arms, naive = [], []
    for _ in range(2):
        rows = 1.0 + g.poisson(4, (10_000, 400))
        y = rows * g.normal(10, np.sqrt(0.5), rows.shape) + np.sqrt(0.5 * rows) * g.normal(
            size=rows.shape
        )
        arms.append(arm(y, rows))
        naive.append((y.sum(1) / rows.sum(1), 1 / rows.sum(1)))  # the variance of a row is 1
    yield share(
        "several decisions a unit, ICC .5: false positives",
        effect_of(*arms).p_value < 0.05,
        "at most .06",
        most=0.06,
    )
    (a, va), (b, vb) = naive
    yield share("  the same by row", np.abs(a - b) / np.sqrt(va + vb) > 1.96)


def ramp() -> Iterator[Line]:
    g = np.random.default_rng(7)
    phases = []
    for base, treated in ((0.10, 2_000), (0.14, 10_000)):
        units = (20_000 - treated, treated)
        phases.append(tuple(rates(g.binomial(n, base, 20_000), np.array(float(n))) for n in units))
    yield share(
        "ramp 10 to 50 %, base .10 to .14: false positives",
        stratified_effect(phases).p_value < 0.05,
        "at most .06",
        most=0.06,
    )
    pooled = effect_of(phases[0][0] + phases[1][0], phases[0][1] + phases[1][1])
    yield share("  the same pooled", pooled.p_value < 0.05)


def late_outcomes() -> Iterator[Line]:
    g = np.random.default_rng(8)
    claims: dict[int, list[bool]] = {}
    refused: dict[int, list[bool]] = {}
    naive: list[bool] = []
    for day in (42, 70, 84, 112):
        claims[day], refused[day] = [], []
        for _ in range(2_000 if day >= 84 else 200):
            claim, refusal, counted = _late(g, day)
            claims[day].append(claim)
            refused[day].append(refusal)
            naive.append(counted)
    for day, hits in claims.items():
        yield share(
            f"late outcomes, delay 7 d against 4 d, day {day}: "
            f"false positives ({np.mean(refused[day]):.0%} refused)",
            np.array(hits),
            "at most .06",
            most=0.06,
        )
    yield share("  the same counting what has arrived", np.array(naive))


def _late(g: np.random.Generator, day: int) -> tuple[bool, bool, bool]:
    """One experiment, 300 units an arm a day at rate .10: claimed, refused, claimed by all."""
    arms, delays, arrived = [], [], []
    for mean in (4.0, 7.0):
        age = g.uniform(0, day, 300 * day)
        delay = np.where(g.random(len(age)) < 0.10, g.exponential(mean, len(age)), np.inf)
        arms.append((age, delay))
        arrived.append(sums_of(delay <= age))
    naive = effect_of(*arrived)
    share_to_see = share_needed(naive.standard_error, arrived[0].value)
    for age, delay in arms:
        come = delay <= age
        delays.append(delay_window(delay[come], age[come], share=share_to_see))
    counted = bool(naive.p_value < 0.05)
    both = slowest(delays)
    if not both.mature:
        return False, True, counted
    sums = [sums_of(delay[age >= both.window] <= both.window) for age, delay in arms]
    return bool(effect_of(*sums).p_value < 0.05), False, counted


def sample_ratios() -> Iterator[Line]:
    g = np.random.default_rng(9)
    simulations = 20_000
    for lost, name, once, watched in (
        (0.0, "sound", ("at most .003", -np.inf, 0.003), ("at most .003", -np.inf, 0.003)),
        (0.05, "5 % lost", ("at least .95", 0.95, np.inf), ("at least .85", 0.85, np.inf)),
    ):
        control = g.binomial(2_000, 0.5, (simulations, 20))
        treatment = g.binomial(2_000 - control, 1 - lost)
        looks = np.cumsum(np.stack([control, treatment], axis=-1), axis=1)
        final = np.array([sample_ratio.mismatch_p(end, [0.5, 0.5]) for end in looks[:, -1]])
        yield share(
            f"SRM, 40,000 units, {name}, one final look: alarms",
            final < sample_ratio.MISMATCH_ONCE,
            *once,
        )
        p = sample_ratio.mismatch_p_watched(looks, [0.5, 0.5])[:, -1]
        yield share("  watched over 20 looks: alarms", p < sample_ratio.MISMATCH_WATCHED, *watched)


def assigning() -> Iterator[Line]:
    units = [f"customer-{i}" for i in range(200_000)]
    first, second = (
        assignment.uniforms("arm-2026-11", units),
        assignment.uniforms("arm-2026-12", units),
    )
    p = float(stats.kstest(first, "uniform").pvalue)
    yield Line("assignment: p of uniform", p, 0, "200,000 units", "above .001", least=0.001)
    table = np.histogram2d(first, second, bins=10, range=[[0, 1], [0, 1]])[0]
    p = float(stats.chi2_contingency(table).pvalue)
    yield Line(
        "  p of independent between experiments", p, 0, "200,000 units", "above .001", least=0.001
    )
    before, after = (
        assignment.assign(
            units,
            inclusion_salt="in",
            arm_salt="arm",
            inclusion=part,
            weights={"control": 0.5, "treatment": 0.5},
        )
        for part in (0.1, 0.5)
    )
    inside = np.array([name is not None for name in before])
    moved = int(np.sum(before[inside] != after[inside]))
    yield Line(
        "  units moved on ramping 10 to 50 %", moved, 0, f"{inside.sum():,} units", "none", 0, 0
    )


def around(estimate: float, deviation: float = 0.0) -> Interval:
    """An interval of 95 %."""
    return Interval(estimate - 1.96 * deviation, estimate, estimate + 1.96 * deviation)


def returns() -> Iterator[Line]:
    g = np.random.default_rng(10)
    truth = (173.0 * 30_000 - 60_000) * 12 / 1_500_000 - 1
    covered, net = [], []
    for _ in range(4_000):
        gain, decisions, cost = (
            g.normal(173, 50),
            g.normal(30_000, 2_000),
            g.normal(1_500_000, 150_000),
        )
        inputs = {
            "decisions_per_month": around(decisions, 2_000),
            "build_cost": around(cost, 150_000),
            "run_cost_per_month": around(60_000),
        }
        result = roi.return_on(around(gain, 50), inputs, 12)
        covered.append(result.roi.lower < truth < result.roi.upper)
        net.append(result.net_value_per_month)
    yield share(
        "ROI interval, uncertain gain, volume and cost: coverage",
        np.array(covered),
        "at least .94",
        least=0.94,
    )
    criticals = np.array([b.critical for b in bounds_at_looks(LOOKS * 8_000, planned=8_000)])
    sums = [_money(g, 20_000, 20, 200, 100.0, 900.0) for _ in range(2)]
    effect = effect_of(*sums)
    lower = (
        effect.difference - criticals * effect.standard_error
    ) * 30_000  # net value a month, running for free
    yield share(
        "wrong ships under no effect, 20 looks", (lower > 0).any(1), "at most .03", most=0.03
    )


def _money(
    g: np.random.Generator, simulations: int, steps: int, units: int, mean: float, deviation: float
) -> Sums:
    """Sums of normal money, shape (simulations, looks), drawn as what they are distributed like."""
    shape = (simulations, steps)
    block = units * mean + np.sqrt(units) * deviation * g.normal(size=shape)
    y = np.cumsum(block, axis=1)
    yy = np.cumsum(deviation**2 * g.chisquare(units - 1, shape) + block**2 / units, axis=1)
    n = np.broadcast_to(units * np.arange(1, steps + 1, dtype=float), shape)
    return Sums(n, y, yy, n, n, y)


def drifts() -> Iterator[Line]:
    g = np.random.default_rng(11)
    windows = []
    for _ in range(
        400
    ):  # a reference of its own for each window: windows against one reference are not independent
        shifts = {
            f"n{c}": drift.compare_numbers(g.normal(size=24_000), g.normal(size=5_000))
            for c in range(14)
        }
        for c in range(9):
            pair = (dict(enumerate(g.multinomial(n, CATEGORIES))) for n in (24_000, 5_000))
            shifts[f"c{c}"] = drift.compare_categories(*pair)
        windows.append(bool(drift.drifted(shifts, minimum=0)))
    yield share(
        "drift, 14 numbers, 9 categories, no minimum: windows with a false alarm",
        np.array(windows),
        "at most .05",
        most=0.05,
    )
    reference = g.normal(size=24_000)
    for moved in (0.1, 0.15, 0.2, 0.3):
        found = []
        for _ in range(400):
            shift = drift.compare_numbers(reference, g.normal(moved, 1, 5_000))
            others = dict.fromkeys("bcdefghijklmnopqrstuvw", QUIET)
            found.append("a" in drift.drifted({"a": shift, **others}))
        yield share(f"  mean moved by {moved} deviations: found", np.array(found))


CATEGORIES = [0.5, 0.25, 0.15, 0.08, 0.0199, 0.0001]
QUIET = drift.Shift("Kolmogorov-Smirnov", 0.01, 0.5, 0.0, 0.0)


def oracles() -> Iterator[Line]:
    import pandas as pd
    import statsmodels.api as sm
    import tea_tasting as tt
    from statsmodels.stats.power import NormalIndPower
    from statsmodels.stats.proportion import proportion_effectsize
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

    g = np.random.default_rng(12)
    theirs_tea, theirs_sm = 0.0, 0.0
    for _ in range(20):
        n = 20_000
        a = np.arange(n) % 2
        x, d = g.normal(5, 2, n), 1.0 + g.poisson(3, n)
        y = 0.7 * x + g.normal(3, 1.5, n) + 0.1 * a
        frame = pd.DataFrame({"variant": a, "y": y, "x": x, "d": d, "z": y * d})
        tea = tt.Experiment(
            mean=tt.Mean("y"), cuped=tt.Mean("y", "x"), ratio=tt.RatioOfMeans("z", "d")
        ).analyze(frame)
        c, t = a == 0, a == 1
        ours = {
            "mean": effect_of(sums_of(y[c]), sums_of(y[t])),
            "cuped": effect_of(sums_of(y[c], covariate=x[c]), sums_of(y[t], covariate=x[t])),
            "ratio": effect_of(
                sums_of((y * d)[c], denominator=d[c]), sums_of((y * d)[t], denominator=d[t])
            ),
        }
        for name, e in ours.items():
            r = tea[name]
            for mine, other in (
                (e.difference, r.effect_size),
                (e.lower, r.effect_size_ci_lower),
                (e.upper, r.effect_size_ci_upper),
                (e.p_value, r.pvalue),
            ):
                theirs_tea = max(theirs_tea, abs(mine - other))
        welch = CompareMeans(DescrStatsW(y[t]), DescrStatsW(y[c]))
        low, high = welch.tconfint_diff(usevar="unequal")
        p = welch.ttest_ind(usevar="unequal")[1]
        ancova = sm.OLS(y, np.column_stack([np.ones(n), a, x])).fit().params[1]
        e = ours["mean"]
        theirs_sm = max(theirs_sm, abs(e.lower - low), abs(e.upper - high), abs(e.p_value - p))
        theirs_sm = max(theirs_sm, abs(ours["cuped"].difference - ancova))
    yield Line(
        "largest difference from tea-tasting",
        theirs_tea,
        0,
        "20 data sets",
        "within 1e-4",
        most=1e-4,
    )
    yield Line(
        "largest difference from statsmodels",
        theirs_sm,
        0,
        "20 data sets",
        "within 1e-4",
        most=1e-4,
    )
    size = NormalIndPower().solve_power(proportion_effectsize(0.11, 0.10), alpha=0.05, power=0.8)
    ours_size = power.size_for_mean(proportion_effectsize(0.11, 0.10), 1.0)
    yield Line(
        f"sample size an arm, .10 against .11 (statsmodels {size:,.1f})",
        ours_size / 2,
        0,
        "",
        "14,744",
        14_744,
        14_744,
    )


def opened(path: str) -> Evidence:
    """The evidence in the table."""
    return open_evidence(path, ABTest(), mapping="y=value,x=covariate,0=current,1=release")


def _ours(path: str) -> float:
    """From the file to the decision, as 05_abtest does it.

    Evidence, sums by day, health, effect with covariate, bound, return.
    """
    evidence = replace(opened(path), plan=Plan(units=10_000_000))
    tally = count_evidence(evidence, 0.0)
    checks = check_sums(tally)
    assert all(check.passed for check in checks), checks
    effect = looks_by_day(tally, expected=10_000_000)[-1].effect
    amounts = {"decisions_per_month": 3e4, "build_cost": 1.5e6, "run_cost_per_month": 6e4}
    inputs = {name: around(amount) for name, amount in amounts.items()}
    roi.return_on(effect.interval, inputs, 12)
    return effect.difference


def _our_effect(path: str) -> float:
    """The effect with covariate, as tea-tasting gives it, from 05's query, which sums by day."""
    evidence = OPENED[path]
    effect = effect_within_phases(sum_by_day(evidence, 0.0))
    assert effect is not None
    return effect.difference


OPENED: dict[str, Evidence] = {}


def _tea_tasting(path: str) -> float:
    """The effect with covariate, by tea-tasting, which lets DuckDB do the sums too."""
    import tea_tasting as tt

    with duckdb.connect() as connection:
        relation = connection.read_parquet(path)
        return float(
            tt.Experiment(money=tt.Mean("y", "x"), variant="arm")
            .analyze(relation)["money"]
            .effect_size
        )


def _peak_megabytes() -> float:
    """Peak memory of this process alone; ru_maxrss begins at that of the one that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _measured(name: str, path: str, answers: multiprocessing.Queue) -> None:
    """One side in a process of its own, warmed on few rows: seconds of 3 runs, peak MB."""
    run = {"ours": _ours, "our effect": _our_effect, "tea-tasting": _tea_tasting}[name]
    for file in (path, path.replace("rows", "few")):
        OPENED[file] = opened(file)
    run(path.replace("rows", "few"))
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        difference = run(path)
        seconds.append(time.perf_counter() - started)
    answers.put((sorted(seconds)[1], _peak_megabytes(), difference))


def ten_million() -> Iterator[Line]:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "rows.parquet")
        with duckdb.connect() as connection:
            for file, rows in ((path, 10_000_000), (path.replace("rows", "few"), 10_000)):
                connection.execute(
                    f"""COPY (SELECT i AS unit, (i % 2)::INTEGER AS arm,
                    i * 24 * 86400.0 / {rows} AS time, x, 0.7 * x + 50 * random()
                        + 0.1 * (i % 2) AS y
                    FROM (SELECT range AS i, 100 * (hash(range) % 1000003) / 1000003 AS x
                    FROM range({rows})))
                    TO '{file}' (FORMAT parquet)"""
                )
        measured = {}
        for name in ("ours", "our effect", "tea-tasting"):
            context = multiprocessing.get_context("spawn")
            answers = context.Queue()
            process = context.Process(target=_measured, args=(name, path, answers))
            process.start()
            measured[name] = answers.get(timeout=300)
            process.join()
    seconds, megabytes, difference = measured["ours"]
    theirs, their_megabytes, their_difference = measured["tea-tasting"]
    yield Line(
        "10 million rows from Parquet to the decision: seconds",
        seconds,
        0,
        "median of 3",
        "at most 3",
        most=3,
    )
    yield Line("  peak memory, MB", megabytes, 0, "", "at most 1,000", most=1_000)
    yield Line("  seconds of tea-tasting, effect only", theirs, 0, "median of 3")
    yield Line("  peak memory of tea-tasting, MB", their_megabytes, 0, "")
    alone = measured["our effect"][0]
    yield Line("  our seconds, effect only", alone, 0, "median of 3")
    yield Line(
        "  our seconds / tea-tasting's, effect only",
        alone / theirs,
        0,
        "same run",
        "at most 1",
        most=1,
    )
    yield Line(
        "  the same with repeated units, health, bounds and return", seconds / theirs, 0, "same run"
    )
    yield Line(
        "  difference between the two effects",
        abs(difference - their_difference),
        0,
        "",
        "within 1e-4",
        most=1e-4,
    )


PARTS: tuple[Callable[[], Iterator[Line]], ...] = (
    one_look,
    planned,
    unplanned,
    past_the_plan,
    covariate,
    clustered,
    ramp,
    late_outcomes,
    sample_ratios,
    assigning,
    returns,
    drifts,
    oracles,
    ten_million,
)


def main() -> None:
    """Print the table, line by line as it is found."""
    print(f"{'':76} {'found':>9} {'+- 2 se':>8} {'simulations':>14}  {'bar':13} held")
    started, failed = time.perf_counter(), 0
    for part in PARTS:
        for line in part():
            figure = f"{line.found:,.0f}" if abs(line.found) >= 1_000 else f"{line.found:.4g}"
            error = f"{line.error:.4f}" if line.error else ""
            print(
                f"{line.what:76} {figure:>9} {error:>8} {line.simulations:>14}  {line.bar:13} "
                f"{line.verdict}",
                flush=True,
            )
            failed += line.verdict == "NO"
    print(f"{time.perf_counter() - started:.0f} s; {failed} bars not reached")


if __name__ == "__main__":
    main()
