"""The rules of the house, each a function from the project's folder to the faults it finds."""

import ast
import json
import linecache
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from configparser import ConfigParser
from functools import cache
from pathlib import Path

import nbformat
import pytest

from tests.conftest import ROOT as HOME
from tests.conftest import python

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
PLACES = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# Our own modules are named as text here only, and in the lazy tables of __init__ files.
BY_NAME = {"ml_workflow/data/features.py", "ml_workflow/model/release.py"}
IMPORTERS = {"import_module", "__import__", "find_spec", "run_module", "attach"}
# What the linter holds, as pyproject.toml sets it: lines of 100 columns, a complexity of 10, slow
# libraries imported where they are used, nothing that unpickles or evaluates, docstrings.
HELD = ["E501", "C901", "TID251", "TID253", "S102", "S307", "D101", "D102", "D103"]
WORDS = {"report": 30}  # public words a room has at most; elsewhere 15
KIND = re.compile(r"'(binary|multiclass|regression)'|\b(Binary|Multiclass|Regression|Classes)\b")
TYPED = {"card", "contract", "plan", "evidence", "verdict", "kind", "task", "release"}
MIGRATIONS = "ml_workflow/store/migrations/versions/"
PINNED = re.compile(r"[a-z0-9._-]+(\[[a-z0-9,._-]+\])?==[\w.+!]+( ; [^@/]+)?$")

parse = cache(ast.parse)
Rule = Callable[[Path], list[str]]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules(root: Path) -> Iterator[tuple[Path, ast.Module]]:
    """Every module of the package, by its path in the project, but for nbdev's own index."""
    for file in sorted((root / PACKAGE).rglob("*.py")):
        if file.name != "_modidx.py":
            yield file.relative_to(root), parse(file.read_text(encoding="utf-8"))


def cells(root: Path) -> Iterator[tuple[Path, str, list[str]]]:
    """Every code cell of the notebooks: its file, its source, its tags."""
    for file in sorted((root / "nbs").glob("*.ipynb")):
        for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                yield (
                    file.relative_to(root),
                    "".join(cell["source"]),
                    cell["metadata"].get("tags", []),
                )


def imported(nodes: Iterable[ast.AST], file: Path) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of all that these nodes import, relative names resolved."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = file.parts[: -node.level] if node.level else ()
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)


def lazy_table(tree: ast.Module) -> dict[str, list[str]]:
    """What lazy_loader hands on in an __init__: modules, and the words of each."""
    table: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("attach"):
            for word in node.keywords:
                value = ast.literal_eval(word.value)
                table |= value if word.arg == "submod_attrs" else {name: [] for name in value}
    return table


def may_import(source: str, target: str) -> bool:
    """Whether a room or stage may import another; stages stand beside run and serve, in a row."""
    if target in STAGES:
        return source in STAGES and STAGES.index(target) < STAGES.index(source)
    floor = PLACES["run"] if source in STAGES else PLACES.get(source, 0)
    return PLACES[target] < floor


def imports_upward(root: Path) -> list[str]:
    """Imports go down only, rooms of one floor do not import each other, no room a stage."""
    faults = []
    for file, tree in modules(root):
        source = Path(file.parts[1]).stem
        if source not in ["__init__", *STAGES, *PLACES]:
            faults.append(f"{file}: the room {source} stands on no floor; give it one in FLOORS")
            continue
        names = list(imported(ast.walk(tree), file))
        if source == "__init__":  # it may hand on every room, lazily, and no stage
            names += [(1, f"{PACKAGE}.{name}") for name in {*lazy_table(tree)} & {*STAGES}]
        for line, name in names:
            top, _, rest = name.partition(".")
            target = rest.split(".")[0]
            known = top == PACKAGE and target in [*STAGES, *PLACES] and target != source
            if known and not may_import(source, target):
                faults.append(f"{file}:{line}: {source} imports {target}")
    return faults


def imports_by_name(root: Path) -> list[str]:
    """Our own modules are named as text, which a linter misses, in two files only."""
    faults = []
    for file, tree in modules(root):
        for call in ast.walk(tree):
            if not isinstance(call, ast.Call) or file.as_posix() in BY_NAME:
                continue
            if ast.unparse(call.func).rpartition(".")[2] not in IMPORTERS:
                continue
            text = ast.unparse(call)
            ours = re.search(rf"['\"]({PACKAGE}\b|\.)|__package__|__name__", text)
            if ours and not (file.name == "__init__.py" and "attach" in text):
                faults.append(f"{file}:{call.lineno}: a module of ours is imported by {text}")
    return faults


def branches_on_kind(root: Path) -> list[str]:
    """What differs by kind of target is a method of its class: nothing else asks which it is."""
    sources = [(file, tree) for file, tree in modules(root) if file.name != "kinds.py"]
    sources += [(file, parse(source)) for file, source, _ in cells(root)]
    return [
        f"{file}: asks for the kind of target: {text}"
        for file, tree in sources
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare | ast.pattern | ast.Call)
        if KIND.search(text := ast.unparse(node))
        if not isinstance(node, ast.Call) or text.startswith(("isinstance(", "issubclass("))
    ]


def dicts_for_objects(root: Path) -> list[str]:
    """What is called a card, a contract or a plan is that object and no dict."""
    return [
        f"{file}:{node.lineno}: {node.arg} is a {ast.unparse(node.annotation)}"
        for file, tree in modules(root)
        for node in ast.walk(tree)
        if isinstance(node, ast.arg) and node.arg in TYPED and node.annotation
        if re.match(r"(dict|Mapping)\b", ast.unparse(node.annotation))
    ]


def public_words(root: Path) -> list[str]:
    """A room hands on few words, each documented, and none that is a module of the room as well."""
    faults = []
    for file, tree in modules(root):
        if file.name != "__init__.py":
            continue
        room, table = root / file.parent, lazy_table(tree)
        names = [name for words in table.values() for name in words]
        most = WORDS.get(room.name, 15)
        if len(names) > most:
            faults.append(f"{file}: {len(names)} public words, at most {most} are allowed")
        for module, words in table.items():
            if not words or (room / module).is_dir():  # a room has words of its own
                continue
            text = (room / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
            documented = set(re.findall(r'^(\w+)\b.* = .*\n"""', text, re.M)) | {
                node.name
                for node in parse(text).body
                if isinstance(node, Function | ast.ClassDef) and ast.get_docstring(node)
            }
            faults += [
                f"{file}: {word} has no docstring in {module}" for word in {*words} - documented
            ]
            faults += [
                f"{file}: {word} is a module of the room too"
                for word in words
                if (room / f"{word}.py").exists() or (room / word).is_dir()
            ]
    return faults


def misplaced_tests(root: Path) -> list[str]:
    """tests/room/test_x.py tests ml_workflow/room/x.py; what is whole is tested in tests/whole."""
    faults = []
    for file in sorted((root / "tests").rglob("test_*.py")):
        place = file.relative_to(root / "tests")
        module = root / PACKAGE / place.parent / file.stem.removeprefix("test_")
        free = place.parts[0] in ("whole", "test_house.py")
        if not free and not module.is_dir() and not module.with_suffix(".py").exists():
            faults.append(f"tests/{place}: there is no {module.relative_to(root)}.py")
    return faults


def linted(root: Path) -> list[str]:
    """What HELD names, in notebooks and the modules written from them too."""
    exported = [path for path in (root / PACKAGE).glob("*.py") if path.stem in STAGES]
    ruff = ["ruff", "check", "--no-cache", "--output-format=json", ".", *map(str, exported)]
    done = python("-m", *ruff, cwd=root)
    return [
        f"{fault['filename']}:{fault['location']['row']}: {fault['message']}"
        for fault in json.loads(done.stdout)
        if fault["code"] in HELD
        # nbdev breaks no line of its own
        if not linecache.getline(fault["filename"], fault["location"]["row"]).startswith("__all__")
    ]


def long_functions(root: Path) -> list[str]:
    """A function has at most 50 lines; a migration stays as it ran."""
    return [
        f"{file}:{node.lineno}: {node.name} has {length} lines, at most 50 are allowed"
        for file, tree in modules(root)
        for node in ast.walk(tree)
        if isinstance(node, Function) and not file.as_posix().startswith(MIGRATIONS)
        if (length := (node.end_lineno or 0) - node.lineno + 1) > 50
    ]


def long_docstrings(root: Path) -> list[str]:
    """A module docstring over three lines makes nbdev write a list of modules into the package."""
    return [
        f"{file}: a docstring of {length} lines, at most 3 are allowed"
        for file, tree in modules(root)
        if (length := len((ast.get_docstring(tree) or "").splitlines())) > 3
    ]


def notebook_cells(root: Path) -> list[str]:
    """One parameters cell a notebook, not exported; exported cells import or define, never both."""
    faults = []
    tagged = {file.relative_to(root): 0 for file in (root / "nbs").glob("*.ipynb")}
    for file, source, tags in cells(root):
        tagged[file] += "parameters" in tags
        if not re.match(r"#\s*\|\s*export", source):
            continue
        if "parameters" in tags:
            faults.append(f"{file}: the parameters cell is exported")
        if len({isinstance(n, ast.Import | ast.ImportFrom) for n in parse(source).body}) > 1:
            faults.append(f"{file}: an exported cell mixes imports and code: {source[:80]!r}")
    return faults + [
        f"{file}: {count} cells are tagged parameters, there must be one"
        for file, count in tagged.items()
        if count != 1
    ]


def lock_files(root: Path) -> list[str]:
    """The locks name versions and no address, and hold all that settings.ini asks for."""
    settings = ConfigParser(delimiters=["="])
    settings.read(root / "settings.ini", encoding="utf-8")
    faults, users, needs = [], set[str](), ""
    for lock, key in {
        "requirements.lock": "requirements",
        "requirements-test.lock": "test_requirements",
    }.items():
        lines = (root / lock).read_text(encoding="utf-8").splitlines()
        faults += [
            f"{lock}: {line!r} is no name==version" for line in lines if not PINNED.match(line)
        ]
        names = {re.split(r"[=\[]", line)[0] for line in lines}
        needs += settings["DEFAULT"][key]
        wanted = {re.split(r"[^\w.-]", need)[0] for need in needs.split()}
        faults += [f"{lock}: {name} is missing; run `make lock`" for name in wanted - names]
        faults += [f"{lock}: {line!r} is not as in requirements.lock" for line in users - {*lines}]
        users = set(lines)
    return faults


def long_readme(root: Path) -> list[str]:
    """The front door has at most 150 lines."""
    lines = len((root / "README.md").read_text(encoding="utf-8").splitlines())
    return [f"README.md has {lines} lines, at most 150 are allowed"] if lines > 150 else []


RULES: list[Rule] = [
    imports_upward,
    imports_by_name,
    branches_on_kind,
    dicts_for_objects,
    public_words,
    misplaced_tests,
    linted,
    long_functions,
    long_docstrings,
    notebook_cells,
    lock_files,
    long_readme,
]


def test_importing_everything_loads_no_slow_library() -> None:
    files = [file.with_suffix("") for file, _ in modules(HOME)]
    names = [".".join(file.parts).removesuffix(".__init__") for file in files]
    slow = {"mlflow", "optuna", "seaborn"}
    code = f"import sys, {', '.join(names)}; print(*{slow} & {{*sys.modules}})"
    done = python("-c", code)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done


def cell(source: str, *tags: str) -> dict[str, object]:
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})


def notebook(*cells: dict[str, object]) -> str:
    return nbformat.writes(nbformat.v4.new_notebook(cells=cells))


PARAMETERS = cell("seed: int = 0", "parameters")
LAZY = '"""A room."""\nimport lazy_loader\nlazy_loader.attach(__name__, submod_attrs={})\n'
SOUND = {
    "settings.ini": "[DEFAULT]\nrequirements =\n    pandas\ntest_requirements =\n    pytest\n",
    "requirements.lock": "pandas==3.1.1\n",
    "requirements-test.lock": "pandas==3.1.1\npytest==9.2.0 ; python_version < '3.14'\n",
    "README.md": "# A house\n" * 150,
    "nbs/00_define.ipynb": notebook(
        cell("#| export\nimport json"), PARAMETERS, cell("#| export\nx = 1")
    ),
    "ml_workflow/__init__.py": '"""One.\n\nThree.\n"""\n\n__version__ = "0.1.0"\n',
    "ml_workflow/store/__init__.py": LAZY.replace("{}", "{'folder': ['read']}"),
    "ml_workflow/store/folder.py": "from .. import __version__\ndef read():\n    'A file.'\n",
    "ml_workflow/poc.py": f"__all__ = [{'x, ' * 40}]\nfrom ml_workflow.define import Task\n",
    "ml_workflow/cli.py": "def plot():\n    'A plot.'\n    import seaborn\n    from . import run\n",
    "tests/store/test_folder.py": "",
    "tests/whole/test_site.py": "",
}


def build(root: Path, files: dict[str, str]) -> Path:
    """A project of these files, with this one's settings of the linter."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    shutil.copy(HOME / "pyproject.toml", root)
    return root


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_this_house_and_a_sound_one_keep(rule: Rule, tmp_path: Path) -> None:
    assert rule(HOME) == []
    assert rule(build(tmp_path, SOUND)) == []


ROOM = "ml_workflow/data/a.py"
INIT = "ml_workflow/store/__init__.py"
BRANCHES = "def f(x):\n" + "    if x: pass\n" * 10
LONG = f"x = '{'x' * 100}'\n"


@pytest.mark.parametrize(
    ("rule", "name", "text", "fault"),
    [
        (imports_upward, ROOM, "from ..define import Task", "data imports define"),
        (imports_upward, ROOM, "def f():\n    import ml_workflow.model.x", "data imports model"),
        (imports_upward, "ml_workflow/data/a/b.py", "from ...run import x", "data imports run"),
        (
            imports_upward,
            "ml_workflow/__init__.py",
            LAZY.replace("{}", "{'poc': []}"),
            "imports poc",
        ),
        (imports_upward, "ml_workflow/serve/a.py", "from ..run import x", "serve imports run"),
        (imports_upward, "ml_workflow/define.py", "from .poc import x", "define imports poc"),
        (imports_upward, "ml_workflow/__init__.py", "from .store import x", "imports store"),
        (imports_upward, "ml_workflow/attic.py", "", "the room attic stands on no floor"),
        (imports_by_name, ROOM, "import_module('ml_workflow.poc')", "import_module('ml_workflow"),
        (imports_by_name, ROOM, "m.import_module('.poc', __package__)", "a module of ours"),
        (linted, ROOM, "import seaborn as sns", "seaborn"),
        (linted, ROOM, "def f():\n    import pickle", "pickle"),
        (linted, ROOM, "eval('1')", "eval"),
        (branches_on_kind, ROOM, "if task.target.kind == 'binary': pass", "== 'binary'"),
        (branches_on_kind, ROOM, "isinstance(kind, kinds.Regression)", "kinds.Regression"),
        (branches_on_kind, ROOM, "x = type(kind) is Binary", "is Binary"),
        (branches_on_kind, ROOM, "match kind:\n    case 'binary': pass", "'binary'"),
        (branches_on_kind, "nbs/1.ipynb", notebook(cell("kind != 'binary'")), "1.ipynb: asks"),
        (dicts_for_objects, ROOM, "def f(card: dict[str, Any]): pass", "card is a dict[str, Any]"),
        (public_words, INIT, LAZY.replace("{}", str({"folder": ["read"] * 16})), "16 public words"),
        (public_words, INIT, LAZY.replace("{}", "{'folder': ['folder']}"), "is a module of"),
        (public_words, INIT, LAZY.replace("{}", "{'folder': ['x']}"), "x has no docstring"),
        (misplaced_tests, "tests/store/test_x.py", "", "there is no ml_workflow/store/x.py"),
        (linted, ROOM, LONG, "Line too long"),
        (linted, "nbs/1.ipynb", notebook(cell(LONG, "parameters")), "Line too long"),
        (linted, ROOM, BRANCHES, "`f` is too complex (11 > 10)"),
        (long_functions, "ml_workflow/poc.py", "def f():\n" + "    1\n" * 50, "f has 51 lines"),
        (long_docstrings, ROOM, '"""1\n2\n3\n4"""', "a docstring of 4 lines"),
        (notebook_cells, "nbs/1.ipynb", notebook(cell("x = 1")), "0 cells are tagged parameters"),
        (notebook_cells, "nbs/1.ipynb", notebook(cell("#| export", "parameters")), "is exported"),
        (notebook_cells, "nbs/1.ipynb", notebook(cell("#|export\nimport a\nx = 1")), "mixes"),
        (lock_files, "requirements.lock", "pandas @ https://a.example/pandas.whl\n", "@ https"),
        (lock_files, "requirements.lock", "numpy==2.4.6\n", "pandas is missing"),
        (lock_files, "requirements-test.lock", "pandas==3.1.0\npytest==9.2.0\n", "is not as in"),
        (linted, ROOM, "class A:\n    'One.'\n    def f(self): pass", "docstring in public method"),
        (long_readme, "README.md", "line\n" * 151, "151 lines"),
    ],
)
def test_a_broken_rule_is_found(
    rule: Rule, name: str, text: str, fault: str, tmp_path: Path
) -> None:
    faults = rule(build(tmp_path, SOUND | {name: text}))
    assert any(fault in found for found in faults), faults
