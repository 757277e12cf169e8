"""The rules of the house, each a function from the project's folder to the faults it finds."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1]
PACKAGE = "ml_workflow"
STAGES = ["define", "research", "dataset", "poc", "scale", "abtest"]
FLOORS = [
    ["errors"],
    ["statistics"],
    ["store"],
    ["task"],
    ["decision"],
    ["data"],
    ["model", "experiments"],
    ["draft", "report"],
    ["run", "serve"],
    ["operate"],
    ["cli"],
]
# A room may import itself and what stands strictly lower; a stage, which stands beside run and
# serve and which no room may import, what they may and the stages before it.
PLACES = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
STAGE_FLOOR = PLACES["run"]
BY_NAME = {"ml_workflow/data/features.py", "ml_workflow/model/release.py"}
SLOW = {"seaborn", "optuna", "mlflow"}
RUNS_CODE = {
    "pickle",
    "cPickle",
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "shelve",
    "eval",
    "exec",
}
# Files that may use one of RUNS_CODE all the same: "ml_workflow/room/file.py": "why it is safe there".
DOCUMENTED: dict[str, str] = {}
PINNED = re.compile(r"[a-z0-9._-]+(\[[a-z0-9,._-]+\])?==[\w.+!]+( ; [^@/]+)?$")

Rule = Callable[[Path], list[str]]


def modules(root: Path) -> Iterator[tuple[Path, ast.Module]]:
    """Every module of the package, by its path in the project, but for nbdev's own index."""
    for file in sorted((root / PACKAGE).rglob("*.py")):
        if file.name != "_modidx.py":
            yield file.relative_to(root), ast.parse(file.read_text(encoding="utf-8"))


def imported(nodes: Iterable[ast.AST], file: Path) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of all that these nodes import, relative names resolved."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = file.parts[: -node.level] if node.level else ()
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)


def outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when the module is imported: everything but the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from outside_functions(child)


def named(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Modules of ours that a text names in a call, such as import_module; as the linter misses them."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func).rpartition(".")[2]
        if called not in {"import_module", "__import__", "find_spec", "run_module", "attach"}:
            continue
        for part in ast.walk(node):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield node.lineno, part.value
            elif isinstance(part, ast.Name) and part.id in {"__package__", "__name__"}:
                yield node.lineno, PACKAGE


def lazily_imported(tree: ast.Module, file: Path) -> Iterator[tuple[int, str]]:
    """What the lazy table of an __init__ hands on, read as imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("attach"):
            above = ".".join(file.parts[:-1])
            words = {word.arg: word.value for word in node.keywords}
            for module in ast.literal_eval(words["submod_attrs"]) if "submod_attrs" in words else ():
                yield node.lineno, f"{above}.{module}"


def may_import(source: str, target: str) -> bool:
    """Whether a room or stage may import another one."""
    if source == "__init__":
        return False
    if target in STAGES:
        return source in STAGES and STAGES.index(target) < STAGES.index(source)
    floor = STAGE_FLOOR if source in STAGES else PLACES[source]
    return target in PLACES and PLACES[target] < floor


def imports_upward(root: Path) -> list[str]:
    """Imports go down only, the rooms of a floor do not import each other, no room a stage."""
    faults = []
    rooms = {p.stem for p in (root / PACKAGE).glob("[!_]*") if p.is_dir() or p.suffix == ".py"}
    for file, tree in modules(root):
        source = Path(file.parts[1]).stem
        if source not in ["__init__", *STAGES, *PLACES]:
            faults.append(f"{file}: the room {source} stands on no floor; give it one in FLOORS")
            continue
        for line, name in [*imported(ast.walk(tree), file), *lazily_imported(tree, file)]:
            top, _, rest = name.partition(".")
            target = rest.split(".")[0]
            if top == PACKAGE and target != source and target in {*rooms, *PLACES, *STAGES}:
                if not (file.name == "__init__.py" and source == "__init__" and target in PLACES):
                    if not may_import(source, target):
                        faults.append(f"{file}:{line}: {source} imports {target}")
    return faults


def imports_by_name(root: Path) -> list[str]:
    """Our own modules are named as text in two files only, and in the lazy tables of __init__ files."""
    return [
        f"{file}:{line}: {name!r} is imported by its name as text"
        for file, tree in modules(root)
        for line, name in named(tree)
        if file.as_posix() not in BY_NAME
        and file.name != "__init__.py"
        and name.split(".")[0] == PACKAGE
    ]


def imports_slow_libraries_early(root: Path) -> list[str]:
    """Seaborn, Optuna and MLflow are imported by the functions that use them."""
    return [
        f"{file}:{line}: {name} is imported outside a function"
        for file, tree in modules(root)
        for line, name in imported(outside_functions(tree), file)
        if name.split(".")[0] in SLOW
    ]


def runs_code(root: Path) -> list[str]:
    """Nothing unpickles or evaluates what it reads, but for the files in DOCUMENTED."""
    faults = []
    for file, tree in modules(root):
        uses = [(line, name.split(".")[0]) for line, name in imported(ast.walk(tree), file)]
        uses += [
            (node.lineno, node.func.id)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        if file.as_posix() not in DOCUMENTED:
            faults += [
                f"{file}:{line}: {name} can run code" for line, name in uses if name in RUNS_CODE
            ]
    return faults


def long_docstrings(root: Path) -> list[str]:
    """A module docstring over three lines makes nbdev write a list of modules into the package."""
    lengths = {
        file: len((ast.get_docstring(tree) or "").splitlines()) for file, tree in modules(root)
    }
    return [
        f"{file}: a docstring of {n} lines, at most 3 are allowed"
        for file, n in lengths.items()
        if n > 3
    ]


def notebook_cells(root: Path) -> list[str]:
    """One parameters cell a notebook, never exported; exported cells import or define, never both."""
    faults = []
    for file in sorted((root / "nbs").glob("*.ipynb")):
        cells = [
            ("".join(cell["source"]), cell["metadata"].get("tags", []))
            for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]
            if cell["cell_type"] == "code"
        ]
        count = sum("parameters" in tags for _, tags in cells)
        if count != 1:
            faults.append(f"{file.name}: {count} cells are tagged parameters, there must be one")
        for source, tags in cells:
            if not re.match(r"#\s*\|\s*export", source):
                continue
            if "parameters" in tags:
                faults.append(f"{file.name}: the parameters cell is exported")
            imports = [
                isinstance(node, ast.Import | ast.ImportFrom) for node in ast.parse(source).body
            ]
            if any(imports) and not all(imports):
                faults.append(
                    f"{file.name}: an exported cell mixes imports and code: {source[:80]!r}"
                )
    return faults


def lock_files(root: Path) -> list[str]:
    """The locks name versions and no address, and hold all that settings.ini asks for."""
    settings = ConfigParser(delimiters=["="])
    settings.read(root / "settings.ini", encoding="utf-8")
    faults, users = [], set[str]()
    for lock, keys in {
        "requirements.lock": ["requirements"],
        "requirements-test.lock": ["requirements", "test_requirements"],
    }.items():
        lines = (root / lock).read_text(encoding="utf-8").splitlines()
        faults += [
            f"{lock}: {line!r} is no name==version" for line in lines if not PINNED.match(line)
        ]
        names = {line.split("==")[0].split("[")[0] for line in lines}
        wanted = [
            re.split(r"[^\w.-]", need)[0]
            for key in keys
            for need in settings["DEFAULT"][key].split()
        ]
        faults += [
            f"{lock}: {name} is missing; run `make lock`" for name in wanted if name not in names
        ]
        faults += [
            f"{lock}: {line!r} is not as in requirements.lock" for line in users - set(lines)
        ]
        users = set(lines)
    return faults


def undocumented(root: Path) -> list[str]:
    """Every public function, method and class says what it takes and gives."""
    return [
        f"{file}: {name} has no docstring"
        for file, tree in modules(root)
        for name in silent(tree, "")
    ]


def silent(node: ast.AST, path: str) -> Iterator[str]:
    """The public definitions below a module or class that have no docstring."""
    for child in ast.iter_child_nodes(node):
        if (
            isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and child.name[0] != "_"
        ):
            if not ast.get_docstring(child):
                yield path + child.name
            if isinstance(child, ast.ClassDef):
                yield from silent(child, f"{path}{child.name}.")


def long_readme(root: Path) -> list[str]:
    """The front door has at most 150 lines."""
    readme = root / "README.md"
    lines = len(readme.read_text(encoding="utf-8").splitlines()) if readme.exists() else 0
    return [f"README.md has {lines} lines, at most 150 are allowed"] if lines > 150 else []


RULES: list[Rule] = [
    imports_upward,
    imports_slow_libraries_early,
    runs_code,
    long_docstrings,
    notebook_cells,
    lock_files,
    undocumented,
    long_readme,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps(rule: Rule) -> None:
    assert rule(HOME) == []


def test_importing_everything_loads_no_slow_library() -> None:
    names = [
        ".".join(file.with_suffix("").parts).removesuffix(".__init__") for file, _ in modules(HOME)
    ]
    code = f"import sys, {', '.join(names)}; print(*sorted({SLOW} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=HOME, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def cell(source: str, *tags: str) -> dict[str, object]:
    return {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": source}


def notebook(*cells: dict[str, object]) -> str:
    return json.dumps({"cells": cells})


PARAMETERS = cell("seed: int = 0", "parameters")
SETTINGS = "[DEFAULT]\nrequirements =\n    pandas\ntest_requirements =\n    pytest\n"
SOUND = {
    "settings.ini": SETTINGS,
    "requirements.lock": "pandas==3.1.1\n",
    "requirements-test.lock": "pandas==3.1.1\npytest==9.2.0 ; python_version < '3.14'\n",
    "README.md": "# A house\n" * 150,
    "nbs/00_define.ipynb": notebook(
        cell("#| export\nimport json"), PARAMETERS, cell("#| export\nx = 1")
    ),
    "ml_workflow/__init__.py": '"""One.\n\nThree.\n"""\n\n__version__ = "0.1.0"\n',
    "ml_workflow/store/__init__.py": "from .folder import read\n",
    "ml_workflow/store/folder.py": "import json\nfrom .. import __version__\n",
    "ml_workflow/poc.py": "from .store import read\nfrom ml_workflow.define import Task\ndef _own(): pass\n",
    "ml_workflow/cli.py": "def plot():\n    'A plot.'\n    import seaborn\n    from . import operate\n",
}


def build(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_sound_house_passes(rule: Rule, tmp_path: Path) -> None:
    assert rule(build(tmp_path, SOUND)) == []


@pytest.mark.parametrize(
    ("rule", "name", "text", "fault"),
    [
        (
            imports_upward,
            "ml_workflow/store/a.py",
            "from ..define import Task",
            "store imports define",
        ),
        (imports_upward, "ml_workflow/store/a.py", "from .. import cli", "store imports cli"),
        (imports_upward, "ml_workflow/store/a/b.py", "from ...run import go", "store imports run"),
        (
            imports_upward,
            "ml_workflow/store/__init__.py",
            "from ..run import go",
            "store imports run",
        ),
        (
            imports_upward,
            "ml_workflow/store/a.py",
            "import ml_workflow.pipeline.x",
            "store imports",
        ),
        (
            imports_upward,
            "ml_workflow/statistics/a.py",
            "from ..store import x",
            "statistics imports",
        ),
        (
            imports_upward,
            "ml_workflow/pipeline/a.py",
            "from ml_workflow import store",
            "pipeline imports",
        ),
        (imports_upward, "ml_workflow/serve/a.py", "from ..run import x", "serve imports run"),
        (
            imports_upward,
            "ml_workflow/define.py",
            "def f():\n    from .poc import x",
            "define imports poc",
        ),
        (
            imports_upward,
            "ml_workflow/__init__.py",
            "from .define import Task",
            "__init__ imports define",
        ),
        (imports_upward, "ml_workflow/attic.py", "", "the room attic stands on no floor"),
        (imports_slow_libraries_early, "ml_workflow/poc.py", "import seaborn as sns", "seaborn"),
        (
            imports_slow_libraries_early,
            "ml_workflow/poc.py",
            "if 1:\n    from mlflow.a import b",
            "mlflow.a",
        ),
        (
            imports_slow_libraries_early,
            "ml_workflow/poc.py",
            "class A:\n    import optuna",
            "optuna",
        ),
        (runs_code, "ml_workflow/store/a.py", "def f():\n    import pickle", "pickle"),
        (runs_code, "ml_workflow/store/a.py", "from joblib import load", "joblib"),
        (runs_code, "ml_workflow/store/a.py", "eval('1')", "eval"),
        (long_docstrings, "ml_workflow/store/a.py", '"""1\n2\n3\n4"""', "a docstring of 4 lines"),
        (notebook_cells, "nbs/01.ipynb", notebook(cell("x = 1")), "0 cells are tagged parameters"),
        (
            notebook_cells,
            "nbs/01.ipynb",
            notebook(cell("#| export\nx = 1", "parameters")),
            "is exported",
        ),
        (
            notebook_cells,
            "nbs/01.ipynb",
            notebook(PARAMETERS, cell("#|export\nimport a\nx = 1")),
            "mixes",
        ),
        (
            lock_files,
            "requirements.lock",
            "pandas==3.1.1\n--index-url https://a.example\n",
            "--index-url",
        ),
        (lock_files, "requirements.lock", "pandas @ https://a.example/pandas.whl\n", "@ https"),
        (lock_files, "requirements.lock", "numpy==2.4.6\n", "pandas is missing"),
        (lock_files, "requirements-test.lock", "pandas==3.1.0\npytest==9.2.0\n", "is not as in"),
        (undocumented, "ml_workflow/store/a.py", "def f(): pass", "a.py: f has no docstring"),
        (
            undocumented,
            "ml_workflow/store/a.py",
            "class A:\n    'One.'\n    def f(self): pass",
            "A.f has no",
        ),
        (long_readme, "README.md", "line\n" * 151, "151 lines"),
    ],
)
def test_a_broken_rule_is_found(
    rule: Rule, name: str, text: str, fault: str, tmp_path: Path
) -> None:
    root = build(tmp_path, SOUND | {name: text})
    assert any(fault in found for found in rule(root)), rule(root)
