"""What the terminal shows while work goes on: the stage under way, variants, rows, each with the time left."""

import time
from typing import Any


class Screen:
    """What a run shows: on a terminal the stage under way and its time, elsewhere plain lines."""

    def __init__(self, question: str, usual: dict[str, float]) -> None:
        from rich.console import Console

        self.console, self.usual = Console(highlight=False, soft_wrap=True), usual
        self.console.print(question, style="bold", markup=False)
        self.began = time.perf_counter()
        self.status: Ticking | None = None

    def __call__(self, event: str, stage: dict[str, Any]) -> None:
        """Show that a stage begins or has ended."""
        self.close()
        if event == "start":
            if self.console.is_terminal:
                self.status = Ticking(self.console, stage["name"], self.usual.get(stage["name"]))
            return
        verdict = stage.get("verdict") or {}
        colour = {"failed": "red", "stopped": "red"}.get(
            stage["status"], "green" if verdict.get("go") else "red"
        )
        answer = verdict.get("answer") or stage.get("error", "")
        self.console.print(
            f"[{colour}]{stage['name']:<12}[/{colour}] {stage['seconds'] or 0:6.1f} s  {stage['status']:<7}  ",
            end="",
        )
        self.console.print(answer, markup=False)

    def close(self) -> None:
        """Take the line of the stage under way off the screen."""
        if self.status is not None:
            self.status.stop()
            self.status = None

    def table(self, record: dict[str, Any]) -> None:
        """The outcome, the time, and the page to open."""
        from ..store.run import reports

        self.console.print(
            f"\n[bold]{record['outcome'].capitalize() if record['outcome'] != 'pending' else 'As far as asked'}[/bold] after {time.perf_counter() - self.began:.0f} s"
        )
        self.console.print(f"Read {reports() / record['run'] / 'index.html'}", markup=False)
        self.console.print(f"All runs: {reports() / 'index.html'}", markup=False)


class Ticking:
    """A spinner with the seconds since it began and, where earlier runs tell how long it takes, about how many are left."""

    def __init__(self, console: Any, name: str, usual: float | None) -> None:
        from rich.progress import (
            Progress,
            ProgressColumn,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
        )

        class Left(ProgressColumn):
            """The seconds that are left, as far as earlier runs tell."""

            def render(self, task: Any) -> str:
                left = (usual or 0) - (task.elapsed or 0)
                return f"about {left:.0f} s left" if left > 0 else ""

        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            Left(),
            console=console,
            transient=True,
        )
        self.progress.add_task(name, total=None)
        self.progress.start()

    def stop(self) -> None:
        """End the spinner and clear its line."""
        self.progress.stop()


class Course:
    """What a sweep shows: a line for each variant that ends and, on a terminal, a bar with the time left."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        self.console = Console(highlight=False, soft_wrap=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task("preparing", total=total)

    def __enter__(self) -> "Course":
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def __call__(self, progress: Any) -> None:
        """Show how far the sweep is."""
        left = (
            f"{progress.seconds_left:.0f} s left"
            if progress.seconds_left is not None
            else "running"
        )
        self.bar.update(self.task, completed=progress.ended, description=left)
        if record := progress.record:
            last = next(s for s in reversed(record["stages"]) if s["status"] != "pending")
            given = " ".join(
                f"{name}={value}" for name, value in record["sweep"]["variant"].items()
            )
            said = last.get("error") or (last.get("verdict") or {}).get("answer", "")
            tail = "" if self.console.is_terminal else f"  ({left})"
            self.console.print(
                f"{progress.ended:>4}/{progress.total}  {given}  {last['status']}: {said}{tail}",
                markup=False,
            )
        elif progress.ended:
            self.console.print(
                f"{progress.ended} of {progress.total} variants are finished from before."
            )


class Rows:
    """What scoring shows on a terminal: a bar with rows, rows a second and the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        console = Console(stderr=True)
        self.bar = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("rows", total=None, pace="")
        self.began = time.perf_counter()

    def __enter__(self) -> "Rows":
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def __call__(self, counts: Any, total: int) -> None:
        """Show how many rows are done."""
        self.bar.update(
            self.task,
            completed=counts.read,
            total=total,
            pace=f"{counts.read / (time.perf_counter() - self.began):,.0f} rows/s",
        )
