"""A new project from this template: a repository of its own, which takes updates by Copier."""

import re
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit, urlunsplit

import yaml

from ..draft.guesses import Guess, as_yaml, guess
from ..errors import Refusal
from ..store.address import is_database
from ..store.files import root

README = """# {name}

What is `{target}`? Six notebooks lead from this question to an A/B-tested model.

```
make run      # the task tasks/{name}.yaml, through all six notebooks: reports/index.html
make lab      # the notebooks in JupyterLab; saving one writes its module of the package
make test     # the project's tests
```

You need git, make and Python 3.11 to 3.13; `.venv/bin/ml-workflow doctor` says what is missing.

**First** correct the guesses in `tasks/{name}.yaml`, and say how it is decided today and what a
decision is worth:

```yaml
current_process:
  describe: The clerk acts on every customer who …
  decide: amount > 100                  # an SQL expression over the table's columns
value:                                  # of one decision; numbers or SQL expressions
  currency: EUR
  act: {{positive: 20, negative: -5}}
  leave: {{positive: 0, negative: 0}}
  decisions_per_month: 1000
```

(Three or more classes: `value: {{matrix: {{decided: {{actual: 1}}}}}}`; a number:
`value: {{over: 1, under: 2}}`.) Features of your own are a function in `nbs/02_dataset.ipynb`,
named in the task by `features:`.

The table lies in `data/`, which git does not keep: remove `data/.gitignore` if it may.

**Updates.** `.venv/bin/copier update --trust --defaults` brings what the template has improved
since. It leaves notebooks, the modules exported from them, tasks and data alone, then exports anew
and tests that all still fit.
"""


def new(
    place: Path, name: str, data: str, target: str, query: str | None = None
) -> dict[str, Guess]:
    """Make the repository at `place`, whole or not at all; the guesses of its task.

    Raises Refusal when something given is wrong.
    """
    place, source = (
        place.expanduser().absolute(),
        data if is_database(data) else str(Path(data).expanduser().absolute()),
    )
    check(place, name)
    commit = template_commit()
    guesses = guess(source, target, query)
    uri = source if is_database(source) else f"data/{Path(source).name}"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{place.name}-", dir=place.parent) as temporary:
            made = Path(temporary) / place.name
            copy_template(made, commit, {"name": name, "data": uri, "target": target})
            keep_table(made / "data", source)
            (made / "tasks").mkdir()
            (made / "tasks" / f"{name}.yaml").write_text(
                as_yaml(name, uri, target, query, guesses), encoding="utf-8"
            )
            (made / "README.md").write_text(
                README.format(name=name, target=target), encoding="utf-8"
            )
            rename(made, name, target)
            commit_all(made, f"{name}, from ml-workflow at {commit[:12]}")
            made.rename(place)
    except OSError as error:
        raise Refusal(f"{place} cannot be made: {error.strerror or error}.") from None
    return guesses


def check(place: Path, name: str) -> None:
    """Refuse a name that cannot name a package and a task, and a place that is taken or here."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise Refusal(
            f"--name is {name!r}: "
            "a project's name begins with a letter and has letters, digits, - and _."
        )
    if place.resolve().is_relative_to(root().resolve()):
        raise Refusal(
            f"{place} lies within the template: choose a folder beside it, such as ../{name}."
        )
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise Refusal(
            f"{place} exists and is not empty: choose another folder; nothing was written."
        )


def git(folder: Path, *words: str) -> str:
    """What git answers in a folder; a Refusal with git's own words when it fails."""
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise Refusal(f"git {words[0]} failed in {folder}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout.strip()


def template_commit() -> str:
    """The commit that the project is taken from; a Refusal outside a clone of the template."""
    if not (root() / "copier.yml").exists():
        raise Refusal(
            f"{root()} is a project and no template (copier.yml is missing): "
            "run `ml-workflow new` in a clone of ml-workflow."
        )
    if not (root() / ".git").exists():
        raise Refusal(
            f"{root()} has no git history, so no update could be told from what a project took: "
            "clone ml-workflow by git."
        )
    return git(root(), "rev-parse", "HEAD")


def copy_template(made: Path, commit: str, answers: dict[str, str]) -> None:
    """What the commit holds for a project, with Copier's answers.

    In these the template has the address that others can reach.
    """
    from copier import run_copy

    run_copy(str(root()), made, data=answers, vcs_ref=commit, defaults=True, quiet=True)
    kept = made / ".copier-answers.yml"
    kept.write_text(
        kept.read_text(encoding="utf-8").replace(
            f"_src_path: {root()}\n", yaml.safe_dump({"_src_path": address(commit)})
        ),
        encoding="utf-8",
    )


def address(commit: str) -> str:
    """The template's address without credentials where its remote has the commit, or its folder."""
    if not git(root(), "branch", "--remotes", "--contains", commit, "--list", "origin/*"):
        return str(root())
    url = urlsplit(git(root(), "remote", "get-url", "origin"))
    return (
        urlunsplit(url._replace(netloc=url.netloc.rpartition("@")[2]))
        if url.scheme.startswith("http")
        else urlunsplit(url)
    )


def keep_table(folder: Path, source: str) -> None:
    """A copy of the table in data/, which git leaves alone: it may be private."""
    folder.mkdir()
    (folder / ".gitignore").write_text(
        "# Tables stay out of git. Remove this file to keep them in it.\n*\n!.gitignore\n",
        encoding="utf-8",
    )
    if Path(source).is_dir():
        shutil.copytree(source, folder / Path(source).name)
    elif not is_database(source):
        shutil.copy(source, folder)


def rename(made: Path, name: str, target: str) -> None:
    """The project's name where it is declared, and its task where a run begins."""
    replace(made / "settings.ini", "lib_name", f"lib_name = {name}")
    replace(made / "settings.ini", "title", f"title = {name}")
    replace(
        made / "settings.ini",
        "description",
        f"description = What is {target}? From the question to an A/B-tested model.".replace(
            "%", ""
        ),
    )
    replace(made / "pyproject.toml", "name", f'name = "{name}"')
    notebook = made / "nbs" / "00_define.ipynb"
    notebook.write_text(
        re.sub(
            r'task: str = \\".*?\\"',
            rf'task: str = \\"{name}\\"',
            notebook.read_text(encoding="utf-8"),
            count=1,
        ),
        encoding="utf-8",
    )


def replace(path: Path, key: str, line: str) -> None:
    """Write a line in the place of the first that sets the key."""
    path.write_text(
        re.sub(
            rf"^{key} = .*$",
            lambda _: line,
            path.read_text(encoding="utf-8"),
            count=1,
            flags=re.MULTILINE,
        ),
        encoding="utf-8",
    )


def commit_all(made: Path, message: str) -> None:
    """A new repository with one commit; where git does not know who commits, the project does."""
    git(made, "init", "--quiet", "--initial-branch=main")
    git(made, "add", "--all")
    known = (
        subprocess.run(["git", "config", "user.email"], cwd=made, capture_output=True).returncode
        == 0
    )
    author = (
        ()
        if known
        else ("-c", "user.name=ml-workflow new", "-c", "user.email=ml-workflow@example.com")
    )
    git(made, *author, "commit", "--quiet", "--no-verify", "--no-gpg-sign", f"--message={message}")
