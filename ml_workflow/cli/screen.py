"""What the terminal shows while work goes on: the stage under way, variants, rows, time left."""

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:  # importing them takes longer than the first line may
    from ..report.records import Record, Stage

NAME = TextColumn("{task.description}")


class Display(Progress):
    """A line that is kept up to date on a terminal, and gone at its end; nothing elsewhere."""

    def __init__(self, *columns: ProgressColumn, stderr: bool = False) -> None:
        console = Console(highlight=False, soft_wrap=True, stderr=stderr)
        disable = not console.is_interactive
        super().__init__(*columns, console=console, transient=True, disable=disable)


class TimeLeft(ProgressColumn):
    """About how many seconds of a stage are left, where earlier runs tell how long it takes."""

    def __init__(self, usual: dict[str, float]) -> None:
        super().__init__()
        self.usual = usual

    def render(self, task: Task) -> str:
        """The column's text."""
        left = self.usual.get(task.description, 0) - (task.elapsed or 0)
        return f"about {left:.0f} s left" if left > 0 else ""


class RunDisplay(Display):
    """What a run shows: a line for each stage that ended and, on a terminal, the one under way."""

    def __init__(self, question: str, usual: dict[str, float]) -> None:
        super().__init__(SpinnerColumn(), NAME, TimeElapsedColumn(), TimeLeft(usual))
        self.console.print(question, style="bold", markup=False)
        self.began = time.perf_counter()

    def __call__(self, event: str, stage: "Stage") -> None:
        """Show that a stage begins or has ended."""
        if event == "start":
            self.line = self.add_task(stage.name, total=None)
            return
        self.remove_task(self.line)
        colour = "green" if stage.go else "red"
        self.console.print(
            f"[{colour}]{stage.name:<12}[/{colour}] "
            f"{stage.seconds or 0:6.1f} s  {stage.status:<7}  ",
            end="",
        )
        self.console.print(stage.answer, markup=False)

    def show_end(self, record: "Record") -> None:
        """The outcome, the time, and the page to open."""
        outcome = record.outcome.capitalize() if record.outcome != "pending" else "As far as asked"
        seconds = time.perf_counter() - self.began
        self.console.print(f"\n[bold]{outcome}[/bold] after {seconds:.0f} s")
        self.console.print(f"Read {record.folder / 'index.html'}", markup=False)
        self.console.print(f"All runs: {record.folder.parent / 'index.html'}", markup=False)


class SweepDisplay(Display):
    """What a sweep shows: a line for each variant that ends and, on a terminal, a bar."""

    def __init__(self, total: int) -> None:
        super().__init__(NAME, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.total, self.speed_estimate_period = total, float("inf")  # variants end seldom
        self.bar = self.add_task("preparing", total=total)

    def __call__(self, ended: int, record: "Record | None") -> None:
        """Show how many variants have ended, and what came of the one that has just done so."""
        self.update(self.bar, completed=ended)
        seconds = self.tasks[0].time_remaining
        left = "running" if seconds is None else f"{seconds:.0f} s left"
        self.update(self.bar, description=left)
        if record:
            last, variant = record.begun[-1], record.sweep.variant if record.sweep else {}
            values = " ".join(f"{name}={value}" for name, value in variant.items())
            tail = "" if self.console.is_terminal else f"  ({left})"
            self.console.print(
                f"{ended:>4}/{self.total}  {values}  {last.status}: {last.answer}{tail}",
                markup=False,
            )
        elif ended:
            self.console.print(f"{ended} of {self.total} variants are finished from before.")


class RowsDisplay(Display):
    """What scoring shows on a terminal: a bar with rows, rows a second and the time left."""

    def __init__(self) -> None:
        pace = TextColumn("{task.fields[pace]}")
        columns = [BarColumn(), MofNCompleteColumn(), pace, TimeRemainingColumn()]
        super().__init__(*columns, stderr=True)
        self.bar = self.add_task("rows", total=None, pace="")
        self.began = time.perf_counter()

    def __call__(self, done: int, total: int) -> None:
        """Show how many of the rows are done."""
        pace = done / (time.perf_counter() - self.began)
        self.update(self.bar, completed=done, total=total, pace=f"{pace:,.0f} rows/s")
