"""Warm kernels give what stock kernels give, and nothing of them outlives the run."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any
from uuid import uuid4

import nbformat
import papermill
import psutil
import pytest
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from ml_workflow.run.kernels import Kernels, kernels
from ml_workflow.run.workers import begin, own_kernels
from tests.conftest import wait_until
from tests.run.conftest import working_for, write_notebook

OUTPUTS = [
    """import logging, os, subprocess, sys, time, matplotlib.pyplot as plt, optuna, pandas as pd
from tqdm import tqdm""",
    """for i in range(3):
    print('out', i, flush=True)
    print('err', i, file=sys.stderr, flush=True)""",
    "subprocess.run(['echo', 'from another process'])\ntime.sleep(0.5)",
    "os.write(2, b'from the handle')\ntime.sleep(0.5)",
    "display(pd.DataFrame({'a': [1, 2]}))\nprint('between')\n'the value'",
    "fig, ax = plt.subplots()\nax.plot([1, 2])\nplt.show()\nplt.plot([3, 4]);",
    "for _ in tqdm(range(3)):\n    pass",
    "%%bash\necho a magic",
    """%matplotlib inline
%precision 3
environment = [os.environ.get(name) for name in ('TERM', 'PAGER', 'MPLBACKEND', 'HOME')]
program = os.path.basename(sys.argv[0]), sys.path[0]
__name__, environment, program, sys.stderr.isatty(), plt.get_backend()""",
    "logging.warning('a record')\noptuna.create_study();",
    "try:\n    input('a question')\nexcept Exception as error:\n    print(repr(error))",
    "def fails():\n    1 / 0\nfails()",
]
VARYING = re.compile(
    r"\d\d:\d\d:\d\d,\d+|[\d.]+it/s|\?it/s|\d\d:\d\d<\S+|no-name-[\w-]+|ipykernel_\d+/\d+|0x[0-9a-f]+"
)
"""Times and names in what a cell shows."""
RUNNER = """
import signal, sys, papermill
# Where tests run in the background, it is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from ml_workflow.run.kernels import kernels
with kernels("warm") as pool:
    print(pool.directory, flush=True)
    pool.prepare()
    manager = pool.manager_class
    papermill.execute_notebook(sys.argv[1], None, kernel_manager_class=manager, progress_bar=False)
"""
DAEMONS = """import subprocess, time
subprocess.Popen(["sleep", "300"])
subprocess.Popen(["sh", "-c", "setsid sleep 300 &"]).wait()
open("started", "w").close()
time.sleep(300)"""


def notebook(folder: Path, *cells: str) -> Path:
    return write_notebook(folder / f"{uuid4().hex}.ipynb", *cells)


def execute(pool: Kernels, path: Path, **options: Any) -> list[Any]:
    """Run a notebook in its own folder; its cells' outputs."""
    options = {
        "cwd": path.parent,
        "progress_bar": False,
        "kernel_manager_class": pool.manager_class,
        **options,
    }
    book = papermill.execute_notebook(path, path.with_suffix(".out.ipynb"), **options)
    return [cell.outputs for cell in book.cells]


def value(pool: Kernels, folder: Path, cell: str, **options: Any) -> str:
    """What a cell's last line evaluates to."""
    return execute(pool, notebook(folder, cell), **options)[0][-1]["data"]["text/plain"]


def warm_parents() -> list[psutil.Process]:
    """In the order in which they were started."""
    children = sorted(psutil.Process().children(), key=psutil.Process.create_time)
    return [child for child in children if "warm_parent.py" in " ".join(child.cmdline())]


def has_imported(process: psutil.Process, library: str) -> bool:
    return any(library in file.path for file in process.memory_maps())


@contextmanager
def outside_pytest() -> Iterator[None]:
    """ipykernel does not catch what is written to the handles when it finds pytest's variable."""
    name = "PYTEST_CURRENT_TEST"
    test = os.environ.pop(name)
    try:
        yield
    finally:
        os.environ[name] = test


@pytest.fixture(scope="module")
def warm() -> Iterator[Kernels]:
    with ExitStack() as stack:
        with outside_pytest():
            pool = stack.enter_context(kernels("warm"))
            assert wait_until(warm_parents)
        assert wait_until(lambda: has_imported(warm_parents()[0], "lightgbm"), 120)
        yield pool


def shown(outputs: list[Any]) -> list[dict[str, Any]]:
    """Outputs in which two runs can be compared: without times, addresses and pixels."""
    return [
        {key: VARYING.sub("", str(part)) for key, part in output.items() if key != "data"}
        | {"forms": sorted(output.get("data", []))}
        | {"plain": VARYING.sub("", str(output.get("data", {}).get("text/plain")))}
        for output in outputs
    ]


def test_cells_show_what_they_show_with_a_stock_kernel(warm: Kernels, tmp_path: Path) -> None:
    found: dict[str, list[Any]] = {}
    with kernels("stock") as stock, outside_pytest():
        for pool in (stock, warm):
            path = notebook(tmp_path, *OUTPUTS)
            with pytest.raises(PapermillExecutionError):
                execute(pool, path)
            book = nbformat.read(path.with_suffix(".out.ipynb"), 4)
            # Papermill has put a cell before the one that failed.
            found["warm" if pool.warm else "stock"] = [
                shown(cell.outputs) for cell in book.cells if cell.cell_type == "code"
            ]
    # What a library warns of when it is first imported is said to nobody: the first cell differs.
    for ours, theirs in zip(found["warm"][1:], found["stock"][1:], strict=True):
        assert ours == theirs
    assert [output["name"] for output in found["warm"][1]] == ["stdout", "stderr"] * 3
    assert [len(outputs) for outputs in found["warm"][2:5]] == [1, 1, 3]
    assert sum("image/png" in output["forms"] for output in found["warm"][5]) == 2
    assert found["warm"][-1][0]["ename"] == "ZeroDivisionError"


def test_every_kernel_draws_other_random_numbers(warm: Kernels, tmp_path: Path) -> None:
    draw = "import random, numpy as np\nown = np.random.default_rng()\n"
    draw += "random.random(), np.random.rand(), own.random()"
    warm.prepare()
    drawn = [value(warm, tmp_path, draw).strip("()").split(", ") for _ in range(3)]
    for numbers in zip(*drawn, strict=True):
        assert len(set(numbers)) == 3


def test_a_prepared_kernel_runs_in_the_folder_and_environment_of_the_notebook(
    warm: Kernels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARK", "old")
    warm.prepare()
    warm.prepare()
    monkeypatch.setenv("MARK", "new")
    assert (
        value(warm, tmp_path, "import os\nos.getcwd() + os.environ['MARK']") == f"'{tmp_path}new'"
    )


def test_a_kernel_that_died_while_it_waited_is_replaced(warm: Kernels, tmp_path: Path) -> None:
    parent = warm_parents()[0]
    assert wait_until(lambda: not parent.children())
    warm.prepare()
    assert wait_until(parent.children)
    parent.children()[0].kill()
    assert wait_until(lambda: not parent.children())
    assert value(warm, tmp_path, "1 + 1") == "2"


def test_the_next_kernel_sees_an_edited_module(warm: Kernels, tmp_path: Path) -> None:
    package = tmp_path / "ml_workflow"
    package.mkdir()
    (package / "__init__.py").touch()
    cell = "import sys\nloaded = [m for m in sys.modules if m.startswith('ml_workflow')]\n" + (
        "import ml_workflow.probe\nloaded, ml_workflow.probe.answer"
    )
    warm.prepare()
    for answer in ("before", "after the edit"):
        (package / "probe.py").write_text(f"answer = {answer!r}")
        assert value(warm, tmp_path, cell) == f"([], {answer!r})"


def test_a_kernel_can_fit_in_parallel(warm: Kernels, tmp_path: Path) -> None:
    fit = """import numpy as np
from lightgbm import LGBMClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
X = np.random.default_rng(0).normal(size=(300, 3))
for model in LGBMClassifier(n_estimators=5, verbose=-1), HistGradientBoostingClassifier(max_iter=5):
    model.fit(X, X[:, 0] > 0)
model.score(X, X[:, 0] > 0) > 0.9"""
    assert value(warm, tmp_path, fit, execution_timeout=60) == "True"


def test_the_time_out_ends_a_hanging_cell(warm: Kernels, tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(CellTimeoutError):
        execute(warm, notebook(tmp_path, "import time\ntime.sleep(60)"), execution_timeout=1)
    assert time.monotonic() - start < 15
    assert wait_until(lambda: not warm_parents()[0].children())


def test_an_interrupt_reaches_the_cell(warm: Kernels, tmp_path: Path) -> None:
    cells = ["import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)"]
    with pytest.raises(PapermillExecutionError, match="KeyboardInterrupt"):
        execute(warm, notebook(tmp_path, *cells))


def test_the_death_of_a_kernel_is_told(warm: Kernels, tmp_path: Path) -> None:
    die = DAEMONS.replace("time.sleep(300)", "import os\nos.kill(os.getpid(), 9)")
    with pytest.raises(DeadKernelError):
        execute(warm, notebook(tmp_path, die))
    assert wait_until(lambda: not warm_parents()[0].children(recursive=True))
    assert sorted(path.name for path in warm.directory.iterdir()) == ["parent"]


def test_stock_kernels_take_over_when_the_warm_parent_dies(tmp_path: Path) -> None:
    with kernels("warm") as pool:
        pool.prepare()
        assert wait_until(lambda: warm_parents()[-1].children(), 60)
        marker = uuid4().hex
        kill = f"""import os, signal, subprocess, time
subprocess.Popen(['sleep', '300'], env={{'ML_WORKFLOW_REPORTS': '{marker}'}})
os.kill(os.getppid(), signal.SIGKILL)
time.sleep(60)"""
        with pytest.raises(DeadKernelError):
            execute(pool, notebook(tmp_path, kill))
        assert wait_until(lambda: not working_for(marker))
        assert value(pool, tmp_path, "1 + 1") == "2"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_the_run(number: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUNNER, str(notebook(tmp_path, DAEMONS))]
    environment = {**os.environ, "ML_WORKFLOW_REPORTS": str(tmp_path)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=PIPE, stderr=DEVNULL, text=True
    ) as runner:
        runtime = Path(runner.stdout.readline().strip())
        assert wait_until((tmp_path / "started").exists, 60)
        assert len(working_for(str(tmp_path))) >= 5
        runner.send_signal(number)
        runner.wait(timeout=20)
    assert wait_until(lambda: not working_for(str(tmp_path)) and not runtime.exists())


def doubled(folder: Path, number: int) -> str:
    """One notebook, in a process of its own, and a kernel for the next."""
    pool = own_kernels()
    result = value(pool, folder, f"{number} * 2")
    pool.prepare()
    return result


def idle(process: psutil.Process) -> bool:
    """Whether a process does nothing for half a second: the parent has then imported all."""
    before = process.cpu_times()
    time.sleep(0.5)
    return process.cpu_times() == before


@pytest.mark.parametrize("count", [24, pytest.param(500, marks=pytest.mark.prove)])
def test_many_notebooks_at_a_time_leave_nothing_behind(
    count: int, warm: Kernels, tmp_path: Path
) -> None:
    parent = warm_parents()[0]
    assert wait_until(lambda: idle(parent))
    handles, memory = parent.num_fds(), parent.memory_info().rss
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "papermill", "psutil", "ml_workflow.run.workers"])
    with ProcessPoolExecutor(4, context, begin, (warm.directory, True)) as workers:
        answers = list(workers.map(doubled, [tmp_path] * count, range(count)))
        assert answers == [str(number * 2) for number in range(count)]
        assert len(parent.children()) <= 4
    assert wait_until(lambda: not parent.children(recursive=True))
    assert parent.num_fds() == handles and parent.memory_info().rss < memory + 20e6
    assert sorted(path.name for path in warm.directory.iterdir()) == ["parent"]


@pytest.mark.prove
def test_importing_the_libraries_starts_no_python_thread() -> None:
    check = """import importlib, sys, threading
from ml_workflow.run.warm_parent import LIBRARIES
for library in LIBRARIES:
    importlib.import_module(library)
sys.exit(threading.active_count() != 1)"""
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
