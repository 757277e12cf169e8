"""The page of a run for the person who pays: verdict and money, the question, the evidence, the caveats, what happens next."""

import json
from collections.abc import Iterator
from html import escape
from math import isfinite
from pathlib import Path
from typing import Any

import nbformat

from ..decision.money import money, period
from ..store.files import write_text
from ..store.run import STAGES, Verdict
from ..task.checklist import checklist
from ..task.file import read_task
from ..task.definition import Task
from . import pages

WORDS = {
    "ship": "Ship",
    "keep running": "Keep running",
    "stop": "Stop",
    "failed": "Failed",
    "pending": "Not finished",
}
MONEY = {"net_value_per_month": "", "gain_per_month": "", "paired": ", each row by both processes"}


def write_summary(folder: Path, record: dict[str, Any]) -> Path:
    """Write index.html into a run's folder; it stands alone, and is short where the run was short."""
    kept = folder / "files" / "task.yaml"
    task = read_task(kept) if kept.exists() else None
    template = Path(__file__).with_name("summary.html").read_text(encoding="utf-8")
    parts = {
        "TITLE": escape(task.question if task else record["task"]),
        "OUTCOME": record["outcome"].split()[0],
        "WORD": WORDS[record["outcome"]],
        "ANSWER": escape(answer(record)),
        "MONEY": tiles(task, record) if task else "",
        "QUESTION": question(task) if task else "",
        "PICTURE": picture(task, record) if task else "",
        "STAGES": stages(record),
        "FIGURES": drawn(folder, record),
        "CAVEATS": listed(caveats(task, record)) if task else "",
        "NEXT": listed(following(folder, record)),
        "ABOUT": about(record),
    }
    for name, text in parts.items():
        template = template.replace(f"<!--{name}-->", text)
    return write_text(folder / "index.html", template)


def ended(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The stages that gave a verdict."""
    return [stage for stage in record["stages"] if stage.get("verdict")]


def answer(record: dict[str, Any]) -> str:
    """The last verdict in its own words, or why the run failed."""
    failed = next((s for s in record["stages"] if s["status"] == "failed"), None)
    if failed:
        return f"{pages.TITLES[failed['name']]} failed: {failed.get('error', '')}"
    return (
        Verdict(**ended(record)[-1]["verdict"]).said if ended(record) else "No stage has ended yet."
    )


def money_of(record: dict[str, Any]) -> dict[str, Any]:
    """The figures of the last stage that states a net value; none where no stage does."""
    return next(
        (
            s["verdict"]["figures"]
            for s in reversed(ended(record))
            if "net_value_per_month" in s["verdict"]["figures"]
        ),
        {},
    )


def intervals(record: dict[str, Any]) -> list[tuple[str, list[float]]]:
    """What each stage found in money: a label with [lower, estimate, upper]."""
    return [
        (f"{pages.TITLES[s['name']]}{word}", s["verdict"]["figures"][name])
        for s in ended(record)
        for name, word in MONEY.items()
        if isinstance(s["verdict"]["figures"].get(name), list)
        and all(map(isfinite, s["verdict"]["figures"][name]))
    ]


def tiles(task: Task, record: dict[str, Any]) -> str:
    """Net value, ROI and payback of the last stage that states them, large."""
    figures, shown = money_of(record), []
    if net := figures.get("net_value_per_month"):
        shown.append(
            (
                f"net value {period(task)}",
                money(task, net[1]),
                f"{money(task, net[0])} to {money(task, net[2])} (interval of 95 %)",
            )
        )
    if roi := figures.get("roi"):
        shown.append(
            (
                f"return in {task.success.horizon_months} months, for each {task.value.currency} spent on building",
                f"{roi[1]:,.1f}",
                f"{roi[0]:,.1f} to {roi[2]:,.1f}",
            )
        )
    if (months := figures.get("payback_months")) is not None and isfinite(months) and months > 0:
        shown.append(
            ("payback", f"{months:,.1f} months", "until the cost of building is earned back")
        )
    return "".join(
        f"<div><dt>{escape(what)}</dt><dd><b>{escape(value)}</b><span>{escape(more)}</span></dd></div>"
        for what, value, more in shown
    )


def question(task: Task) -> str:
    """What is decided, how today, and what a decision is worth."""
    process = (
        task.current_process.describe
        if task.current_process
        else "Nothing is decided by a rule today; the best constant decision stands in."
    )
    rows = [
        ("Asked", task.question),
        ("Today", process),
        ("Worth of a decision", task.value.because or "The task gives no reason for its amounts."),
        (
            "Good enough",
            f"a return of at least {task.success.min_roi:g} in {task.success.horizon_months} months",
        ),
    ]
    return "".join(f"<div><dt>{name}</dt><dd>{escape(text)}</dd></div>" for name, text in rows)


def picture(task: Task, record: dict[str, Any]) -> str:
    """The intervals of all stages on one axis with zero, as SVG: how the estimate moved as the evidence grew."""
    rows = intervals(record)
    if not rows:
        return ""
    bounds = [0.0, *(number for _, interval in rows for number in interval)]
    low, span = min(bounds), (max(bounds) - min(bounds)) or 1.0
    height = 52 * len(rows) + 26

    def x(amount: float) -> float:
        return round(20 + 680 * (amount - low) / span, 1)

    drawn = "".join(
        f'<text x="20" y="{52 * n + 16}">{escape(label)}: {escape(money(task, middle))}</text>'
        f'<line class="range" x1="{x(lower)}" x2="{x(upper)}" y1="{52 * n + 34}" y2="{52 * n + 34}"/><circle cx="{x(middle)}" cy="{52 * n + 34}" r="6"/>'
        for n, (label, (lower, middle, upper)) in enumerate(rows)
    )
    text = "; ".join(
        f"{label} {money(task, middle)}, from {money(task, lower)} to {money(task, upper)}"
        for label, (lower, middle, upper) in rows
    )
    axis = f'<line class="zero" x1="{x(0)}" x2="{x(0)}" y1="0" y2="{height - 18}"/><text class="soft" x="{min(max(x(0), 60), 660)}" y="{height - 4}" text-anchor="middle">as today (0)</text>'
    return (
        f'<figure><svg viewBox="0 0 720 {height}" role="img" aria-label="{escape(text)}">{axis}{drawn}</svg>'
        f"<figcaption>More than the current process brings, {escape(period(task))}, stage by stage, with the interval of 95 %.</figcaption></figure>"
    )


def stages(record: dict[str, Any]) -> str:
    """A row for each stage that ended: its gate and answer, with a link to its page."""
    return "".join(
        f'<tr><td><a href="{s["name"]}.html">{pages.TITLES[s["name"]]}</a></td><td class="{"go" if s["verdict"]["go"] else "stop"}">{"go" if s["verdict"]["go"] else "stop"}</td>'
        f"<td>{escape(s['verdict']['answer'])}</td></tr>"
        for s in ended(record)
    )


def drawn(folder: Path, record: dict[str, Any]) -> str:
    """The last figure of the last two stages that drew one."""
    notebooks = [folder / f"{s['name']}.ipynb" for s in ended(record)]
    shown = [
        pages.figures(pages.as_report(nbformat.read(path, as_version=4)))[-1:]
        for path in notebooks
        if path.exists()
    ]
    return "".join(
        f'<figure><img src="data:image/png;base64,{png.strip()}" alt="{escape(text)}"></figure>'
        for (png, text) in [f[0] for f in shown if f][-2:]
    )


def caveats(task: Task, record: dict[str, Any]) -> Iterator[str]:
    """What a reader must know before believing the figures."""
    net = money_of(record).get("net_value_per_month")
    if net and net[0] < 0 < net[2]:
        yield "The interval of net value holds zero: that the new process brings more than today's is not sure."
    given = record["parameters"].get(STAGES[-1], {})
    if ended(record)[-1:] and ended(record)[-1]["name"] == STAGES[-1] and not given.get("evidence"):
        yield "The A/B test is a replay of past rows. Nobody was treated differently, so how people respond to a decision is not in these figures."
    for stage in ended(record)[:-1]:
        if not stage["verdict"]["go"]:
            yield f"{pages.TITLES[stage['name']]} said stop, and the run went on because it was told to."
    for item in checklist(task).query("there != 'yes'").to_dict("records"):
        yield f"The task does not state the {item['item']}: {item['if missing']}."
    if task.value.because:
        yield "The worth of decisions is what the task states; where it states assumptions, the money rests on them."
    if task.wanted:
        yield f"Data that people would want and the model does not have: {'; '.join(task.wanted)}."


def following(folder: Path, record: dict[str, Any]) -> Iterator[str]:
    """What happens next, as the outcome says."""
    last = pages.TITLES[ended(record)[-1]["name"]] if ended(record) else "The run"
    told = {
        "ship": "The release takes over from the current process, which stays ready to take back; the live figures are watched.",
        "keep running": "Nothing is switched yet: the current process stays in charge until the evidence is enough.",
        "stop": f"Nothing goes live, and the current process stays. {last} says why; with that mended, the same command runs again.",
        "failed": "What its message names is put right; the same command then goes on, and finished stages are reused.",
        "pending": f"The run was asked to end here. {last} is its last stage; the next one decides whether to go on.",
    }
    yield told[record["outcome"]]
    decision = folder / "files" / "decision.json"
    if record["outcome"] != "keep running" or not decision.exists():
        return
    said = json.loads(decision.read_text(encoding="utf-8"))
    plan, faults = said["plan"], [check["said"] for check in said["checks"] if not check["passed"]]
    if faults:
        yield f"Before the evidence counts, its checks must pass. {' '.join(faults)}"
    if plan["units"] and plan["days"]:
        yield f"A live test of about {plan['units']:,} units, {plan['days']:,} days of traffic, would settle it with a power of 80 %."


def listed(sentences: Iterator[str]) -> str:
    """Sentences as the entries of a list."""
    return "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)


def about(record: dict[str, Any]) -> str:
    """Which run this is, and with what it was made."""
    seconds = sum(stage["seconds"] or 0 for stage in record["stages"])
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return escape(
        f"Run {record['run']} of {pages.written(record['run'])} (UTC), {seconds:.0f} seconds. Made with {versions}."
    )
