"""What a run and a sweep cost, against a plain script, stock kernels and a loop of papermill.

`make bench BENCHMARKS=benchmarks/batch.py`. Everything is measured in one go on this machine, each
in reports and a registry of its own. The machine should be idle.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import nbformat
import yaml

from ml_workflow.run.variants import read_sweep
from ml_workflow.store.run import STAGES

HOME = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
SWEEP, JOBS, SAMPLED = HOME / "sweeps" / "penguins.yaml", 2, 6
"""Of the slowest loop, over 00 to 03, only every fourth variant is run and the time multiplied."""
SILENT = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def surroundings(name: str, folder: Path, **more: str) -> dict[str, str]:
    """An environment with empty reports and a migrated registry of its own."""
    (folder / name / "reports").mkdir(parents=True)
    shutil.copy(HOME / "var" / "mlflow.db", folder / name)
    own = {
        "ML_WORKFLOW_REPORTS": str(folder / name / "reports"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / name / 'mlflow.db'}",
    }
    return {**os.environ, "PYTHONPATH": str(HOME), "MPLBACKEND": "agg", **own, **more}


def seconds(*command: str, env: dict[str, str], allowed: tuple[int, ...] = (0,)) -> float:
    """How long a command takes, in the project's folder."""
    began = time.perf_counter()
    done = subprocess.run(command, cwd=HOME, env=env, capture_output=True, text=True)
    if done.returncode not in allowed:
        said = f"{done.stdout[-1500:]}{done.stderr[:3000]}"
        sys.exit(f"{' '.join(command)[:300]} ended with {done.returncode}:\n{said}")
    return time.perf_counter() - began


def script(task: str, folder: Path) -> Path:
    """The code cells of the six notebooks as one script."""
    parts = [
        "from IPython.core.interactiveshell import InteractiveShell",
        "InteractiveShell.instance()  # without one nothing is displayed",
    ]
    for stage in STAGES:
        for cell in nbformat.read(HOME / "nbs" / f"{stage}.ipynb", as_version=4).cells:
            if cell.cell_type == "code":
                parts.append(cell.source)
            if "parameters" in cell.metadata.get("tags", []):
                parts.append(f"run, task = 'script', {task!r}")
    path = folder / f"{task}.py"
    path.write_text("\n\n".join(parts), encoding="utf-8")
    return path


def workflow(*words: str) -> list[str]:
    """Our command line."""
    return [sys.executable, "-m", "ml_workflow.cli", *words]


def papermill(stage: str, run: str, reports: str, parameters: Mapping[str, object]) -> str:
    """The shell's command for one notebook, in the folder of a run."""
    given = " ".join(f"-p {name} {value}" for name, value in {"run": run, **parameters}.items())
    output = f"{reports}/{run}/{stage}.ipynb"
    return f"mkdir -p {reports}/{run}/files && {BIN}/papermill nbs/{stage}.ipynb {output} {given}"


def loop(lines: list[str], env: dict[str, str]) -> float:
    """How long the shell takes over these lines, two at a time."""
    began = time.perf_counter()
    subprocess.run(
        ["xargs", "-P", str(JOBS), "-d", "\n", "-n", "1", "sh", "-c"],
        input="\n".join(lines),
        text=True,
        cwd=HOME,
        env=env,
        check=True,
        **SILENT,
    )  # type: ignore[call-overload]
    return time.perf_counter() - began


def scores(folder: Path) -> dict[str, list[float]]:
    """Log loss and gains of each candidate of a proof of concept."""
    proof = json.loads((folder / "files" / "proof.json").read_text())
    return {
        c["candidate"]: [c["log_loss"], c["gain_lower"], c["gain"], c["gain_upper"]]
        for c in proof["candidates"]
    }


def line(what: str, figure: float, bar: float, at_least: bool) -> None:
    """A ratio or time against its bar."""
    held = figure >= bar if at_least else figure <= bar
    side, end = "at least" if at_least else "at most", "held" if held else "MISSED"
    print(f"  {what}: {figure:.2f} ({side} {bar:g} asked: {end})", flush=True)


def runs(task: str, most: float, folder: Path) -> None:
    """Six notebooks, stock and warm, against their code as a plain script."""
    sleeping = {
        "GOMP_SPINCOUNT": "10000"
    }  # as our command line sets it, so that only the machinery differs
    env = surroundings(f"{task}-script", folder, **sleeping)
    (Path(env["ML_WORKFLOW_REPORTS"]) / "script" / "files").mkdir(parents=True)
    plain = seconds(sys.executable, str(script(task, folder)), env=env)
    warm_env = surroundings(f"{task}-warm", folder, **sleeping)
    warm = seconds(*workflow("run", task, "--force"), env=warm_env, allowed=(0, 3))
    again = seconds(*workflow("run", task, "--force"), env=warm_env, allowed=(0, 3))
    stock = seconds(
        *workflow("run", task, "--force", "--kernels", "stock"),
        env=surroundings(f"{task}-stock", folder, **sleeping),
        allowed=(0, 3),
    )
    print(
        f"{task}: script {plain:.1f} s, warm {warm:.1f} s, stock {stock:.1f} s, "
        f"nothing changed {again:.1f} s"
    )
    line("warm run, pages included, to script", warm / plain, most, at_least=False)
    if task == "penguins":
        line("stock to warm", stock / warm, 1.8, at_least=True)
    line("seconds with nothing changed", again, 3, at_least=False)


Settings = list[dict[str, object]]
"""The parameters of 03 in each variant of the sweep."""


def sweeps(folder: Path) -> None:
    """24 variants of 03 with two jobs, against loops of the papermill command, two at a time."""
    variants: Settings = [v.parameters["03_poc"] for v in read_sweep(SWEEP).variants]
    env = surroundings("sweep", folder)
    ours = seconds(*workflow("sweep", str(SWEEP), "--jobs", str(JOBS)), env=env)
    print(f"sweep: {len(variants)} variants of 03 in {ours:.1f} s")
    trunk = loop_over_last(variants, ours, folder)
    compare_scores(variants, folder)
    loop_over_whole(variants, ours, trunk, folder)


def loop_over_last(variants: Settings, ours: float, folder: Path) -> float:
    """A shell loop over 03 after 00 to 02 once; the seconds of these."""
    env = surroundings("loop", folder)
    reports = env["ML_WORKFLOW_REPORTS"]
    given = {STAGES[0]: {"task": "penguins"}}
    first = [papermill(s, "first", reports, given.get(s, {})) for s in STAGES[:3]]
    trunk = seconds("sh", "-c", " && ".join(first), env=env)
    os.symlink("first", Path(reports) / "latest")  # where 03 finds what 02 wrote
    lines = [papermill("03_poc", f"v{n}", reports, v) for n, v in enumerate(variants)]
    only_last = trunk + loop(lines, env)
    print(f"shell loop over 03: {only_last:.1f} s, of which 00 to 02 once {trunk:.1f} s")
    line("loop over 03 to sweep", only_last / ours, 3, at_least=True)
    return trunk


def compare_scores(variants: Settings, folder: Path) -> None:
    """Whether the sweep and the loop over 03 found the same."""
    swept = {}
    for path in (folder / "sweep" / "reports").glob("penguins-*/run.json"):
        record = json.loads(path.read_text())
        swept[yaml.safe_dump(record["parameters"]["03_poc"])] = path.parent
    apart = 0.0
    for number, variant in enumerate(variants):
        theirs = scores(folder / "loop" / "reports" / f"v{number}")
        own = scores(swept[yaml.safe_dump(variant)])
        for name in theirs:
            pairs = zip(theirs[name], own[name], strict=True)
            apart = max(apart, *(abs(a - b) for a, b in pairs))
    line("greatest difference of a score", apart, 1e-6, at_least=False)


def loop_over_whole(variants: Settings, ours: float, trunk: float, folder: Path) -> None:
    """A shell loop over 00 to 03 of some variants; and of 03 alone with one thread a job."""
    env = surroundings("whole", folder)
    reports, part = env["ML_WORKFLOW_REPORTS"], variants[:: len(variants) // SAMPLED]
    times = len(variants) / len(part)
    lines = []
    for number, variant in enumerate(part):
        given: dict[str, Mapping[str, object]] = {"03_poc": variant}
        given["00_define"] = {"task": "penguins"}
        stages = [papermill(s, f"v{number}", reports, given.get(s, {})) for s in STAGES[:4]]
        lines.append(" && ".join(stages))
    whole = loop(lines, env) * times
    print(
        f"shell loop over 00 to 03: {whole:.1f} s ({len(part)} variants were run, "
        f"times {times:.0f})"
    )
    line("loop over 00 to 03 to sweep", whole / ours, 6, at_least=True)

    one = {"OMP_NUM_THREADS": "1", "ML_WORKFLOW_REPORTS": str(folder / "loop" / "reports")}
    lines = [papermill("03_poc", f"t{n}", reports, v) for n, v in enumerate(part)]
    tuned = trunk + loop(lines, {**env, **one}) * times
    print(
        "  of this, one thread a job: with OMP_NUM_THREADS=1 the loop over 03 would take "
        f"{tuned:.1f} s, {tuned / ours:.2f} times the sweep (no bar)"
    )


def index(folder: Path) -> None:
    """How soon the comparison page shows 500 runs, in Chromium."""
    from playwright.sync_api import sync_playwright

    sys.path.insert(0, str(HOME))
    from tests.report.test_index import record, write

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        return print("index of 500 runs: not measured, there is no Chromium")
    os.environ["ML_WORKFLOW_REPORTS"] = str(folder / "index")
    page_file = write(folder / "index", [record(number) for number in range(500)])
    with sync_playwright() as started:
        page = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"]).new_page()
        times = []
        for _ in range(5):
            page.goto(page_file.as_uri())
            times.append(
                page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000
            )
    print(f"index of 500 runs: {page_file.stat().st_size / 1e3:.0f} kB")
    line("seconds to load, median of 5", sorted(times)[2], 1, at_least=False)


def main() -> None:
    """Measure all of it, or what is named: index, sweeps, penguins, credit."""
    wanted = sys.argv[1:] or ["index", "sweeps", "penguins", "credit"]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if "index" in wanted:
            index(folder)
        if "sweeps" in wanted:
            sweeps(folder)
        for task, most in (("penguins", 1.5), ("credit", 1.15)):
            if task in wanted:
                runs(task, most, folder)


if __name__ == "__main__":
    main()
