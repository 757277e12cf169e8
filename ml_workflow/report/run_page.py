"""The page of a run for the person who pays: verdict, money, question, evidence, caveats."""

import json
import re
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path

import nbformat

from ..decision.amounts import money, period
from ..store.files import write_text
from ..store.run import STAGES
from ..task.completeness import checklist
from ..task.definition import Task
from ..task.file import read_task
from .page import TITLES, as_report, images
from .records import Record, is_finite

WORDS = {
    "ship": "Ship",
    "keep running": "Keep running",
    "stop": "Stop",
    "failed": "Failed",
    "pending": "Not finished",
}
NEXT = {
    "ship": "The release takes over from the current process, which stays ready to take back; "
    "the live figures are watched.",
    "keep running": "Nothing is switched yet: the current process stays in charge until the "
    "evidence is enough.",
    "stop": "Nothing goes live, and the current process stays. {last} says why; with that mended, "
    "the same command runs again.",
    "failed": "What its message names is put right; the same command then goes on, and finished "
    "stages are reused.",
    "pending": "The run was asked to end here. {last} is its last stage; the next one decides "
    "whether to go on.",
}
"""What happens next, by outcome."""
MONEY = {"net_value_per_month": "", "gain_per_month": "", "paired": ", each row by both processes"}
"""The figures that are drawn, and how they are told apart."""


def write_run_page(record: Record) -> Path:
    """Write index.html into a run's folder; it is short where the run was short."""
    path = record.folder / "files" / "task.yaml"
    template = Path(__file__).with_name("summary.html").read_text(encoding="utf-8")
    parts = {
        "TITLE": escape(record.task),
        "OUTCOME": record.outcome.split()[0],
        "WORD": WORDS[record.outcome],
        "ANSWER": escape(answer(record)),
        "STAGES": stages(record),
        "FIGURES": last_images(record),
        "NEXT": as_items(next_steps(record)),
        "ABOUT": escape(about(record)),
    }
    if path.exists():
        task = read_task(path)
        parts |= {
            "TITLE": escape(task.question),
            "MONEY": tiles(task, record),
            "QUESTION": question(task),
            "PICTURE": picture(task, record),
            "CAVEATS": as_items(caveats(task, record)),
        }
    page = re.sub(r"<!--(\w+)-->", lambda place: parts.get(place[1], ""), template)
    return write_text(record.folder / "index.html", page)


def answer(record: Record) -> str:
    """The last verdict in its own words, or why the run failed."""
    if record.failure:
        return f"{TITLES[record.failure.name]} failed: {record.failure.error}"
    verdicts = list(record.verdicts.values())
    return verdicts[-1].sentence if verdicts else "No stage has ended yet."


def tiles(task: Task, record: Record) -> str:
    """Net value, return and payback of the last stage that states them, large."""
    figures, rows = record.net_figures, []
    if net := figures.get("net_value_per_month"):
        span = f"{money(task, net[0])} to {money(task, net[2])} (interval of 95 %)"
        rows.append((f"net value {period(task)}", money(task, net[1]), span))
    if roi := figures.get("roi"):
        span = f"return in {task.success.horizon_months} months"
        what = f"{span}, for each {task.value.currency} spent on building"
        rows.append((what, f"{roi[1]:,.1f}", f"{roi[0]:,.1f} to {roi[2]:,.1f}"))
    months = figures.get("payback_months") or 0
    if is_finite(months) and months > 0:
        until = "until the cost of building is earned back"
        rows.append(("payback", f"{months:,.1f} months", until))
    return "".join(
        f"<div><dt>{escape(what)}</dt>"
        f"<dd><b>{escape(figure)}</b><span>{escape(more)}</span></dd></div>"
        for what, figure, more in rows
    )


def question(task: Task) -> str:
    """What is decided, how today, and what a decision is worth."""
    rule, success = task.current_process, task.success
    no_rule = "Nothing is decided by a rule today; the best constant decision stands in."
    rows = {
        "Asked": task.question,
        "Today": rule.describe if rule else no_rule,
        "Worth of a decision": task.value.because or "The task gives no reason for its amounts.",
        "Good enough": f"a return of at least {success.min_roi:g} "
        f"in {success.horizon_months} months",
    }
    return "".join(
        f"<div><dt>{name}</dt><dd>{escape(text)}</dd></div>" for name, text in rows.items()
    )


def intervals(record: Record) -> list[tuple[str, list[float]]]:
    """What each stage found in money: a label with [lower, estimate, upper]."""
    return [
        (TITLES[stage] + more, verdict.figures[name])
        for stage, verdict in record.verdicts.items()
        for name, more in MONEY.items()
        if isinstance(verdict.figures.get(name), list)
        and all(map(is_finite, verdict.figures[name]))
    ]


def picture(task: Task, record: Record) -> str:
    """The intervals of all stages on one axis with zero, as SVG: how the estimate moved."""
    rows = intervals(record)
    if not rows:
        return ""
    bounds = [0.0, *(bound for _, interval in rows for bound in interval)]
    low, span = min(bounds), (max(bounds) - min(bounds)) or 1.0
    height = 52 * len(rows) + 26

    def x(amount: float) -> float:
        return round(20 + 680 * (amount - low) / span, 1)

    marks, texts = "", []
    for number, (label, interval) in enumerate(rows):
        top, (left, middle, right) = 52 * number, map(x, interval)
        lower, estimate, upper = (money(task, amount) for amount in interval)
        texts.append(f"{label} {estimate}, from {lower} to {upper}")
        marks += (
            f'<text x="20" y="{top + 16}">{escape(f"{label}: {estimate}")}</text>'
            f'<line class="range" x1="{left}" x2="{right}" y1="{top + 34}" y2="{top + 34}"/>'
            f'<circle cx="{middle}" cy="{top + 34}" r="6"/>'
        )
    return (
        f'<figure><svg viewBox="0 0 720 {height}" role="img" '
        f'aria-label="{escape("; ".join(texts))}">'
        f'<line class="zero" x1="{x(0)}" x2="{x(0)}" y1="0" y2="{height - 18}"/>'
        f'<text class="soft" x="{min(max(x(0), 60), 660)}" y="{height - 4}" '
        f'text-anchor="middle">as today (0)</text>{marks}</svg>'
        f"<figcaption>More than the current process brings, {escape(period(task))}, "
        "stage by stage, with the interval of 95 %.</figcaption></figure>"
    )


def stages(record: Record) -> str:
    """A row for each stage that gave a verdict: its gate and answer, with a link to its page."""
    rows = ""
    for stage, verdict in record.verdicts.items():
        gate = "go" if verdict.go else "stop"
        rows += (
            f'<tr><td><a href="{stage}.html">{TITLES[stage]}</a></td>'
            f'<td class="{gate}">{gate}</td><td>{escape(verdict.answer)}</td></tr>'
        )
    return rows


def last_images(record: Record) -> str:
    """The last figure of the last two stages that drew one."""
    paths = [record.folder / f"{stage}.ipynb" for stage in record.verdicts]
    notebooks = [nbformat.read(path, as_version=4) for path in paths if path.exists()]
    last = [image for book in notebooks for image in images(as_report(book))[-1:]]
    return "".join(
        f'<figure><img src="data:image/png;base64,{png.strip()}" alt="{escape(text)}"></figure>'
        for png, text in last[-2:]
    )


def caveats(task: Task, record: Record) -> Iterator[str]:
    """What a reader must know before believing the figures."""
    net, verdicts = record.net_figures.get("net_value_per_month"), record.verdicts
    if net and net[0] < 0 < net[2]:
        yield (
            "The interval of net value holds zero: "
            "that the new process brings more than today's is not sure."
        )
    if STAGES[-1] in verdicts and not record.parameters.get(STAGES[-1], {}).get("evidence"):
        yield (
            "The A/B test is a replay of past rows. Nobody was treated differently, "
            "so how people respond to a decision is not in these figures."
        )
    for stage in list(verdicts)[:-1]:
        if not verdicts[stage].go:
            yield f"{TITLES[stage]} said stop, and the run went on because it was told to."
    for item in checklist(task).query("there != 'yes'").to_dict("records"):
        yield f"The task does not state the {item['item']}: {item['if missing']}."
    if task.value.because:
        yield (
            "The worth of decisions is what the task states; "
            "where it states assumptions, the money rests on them."
        )
    if task.wanted:
        yield f"Data that people would want and the model does not have: {'; '.join(task.wanted)}."


def next_steps(record: Record) -> Iterator[str]:
    """What happens next, as the outcome says."""
    ended = list(record.verdicts)
    yield NEXT[record.outcome].format(last=TITLES[ended[-1]] if ended else "The run")
    path = record.folder / "files" / "decision.json"
    if record.outcome != "keep running" or not path.exists():
        return
    decision = json.loads(path.read_text(encoding="utf-8"))
    plan = decision["plan"]
    faults = [check["said"] for check in decision["checks"] if not check["passed"]]
    if faults:
        yield f"Before the evidence counts, its checks must pass. {' '.join(faults)}"
    if plan["units"] and plan["days"]:
        yield (
            f"A live test of about {plan['units']:,} units, {plan['days']:,} days of traffic, "
            "would settle it with a power of 80 %."
        )


def as_items(sentences: Iterable[str]) -> str:
    """Sentences as the entries of a list."""
    return "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)


def about(record: Record) -> str:
    """Which run this is, and with what it was made."""
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    return (
        f"Run {record.run} of {record.started} (UTC), {record.seconds:.0f} seconds. "
        f"Made with {versions}."
    )
