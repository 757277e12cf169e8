"""Wrong input gets one sentence, exit status 2, no traceback and no half-written run."""

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT, called, surroundings

PENGUINS: dict[str, Any] = yaml.safe_load(
    (ROOT / "tasks" / "penguins.yaml").read_text(encoding="utf-8")
)
WITHOUT_MONEY = {**PENGUINS, "value": {}, "current_process": None}


def changed(key: str, **parts: object) -> dict[str, Any]:
    """The penguins with other parts in what stands under a key."""
    return {**PENGUINS, key: PENGUINS[key] | parts}


def decided(expression: str) -> dict[str, Any]:
    """The penguins with another rule."""
    return changed("current_process", decide=expression)


def source(**keys: str) -> dict[str, Any]:
    """The penguins from another source; FOLDER stands for the folder of the test's tables."""
    return {**PENGUINS, "sources": [{"name": "other", **keys}]}


Wrong = tuple[list[str] | str | dict[str, Any], str]
"""Words for the command line, or a task file, and what the refusal must say."""
FAULTS: dict[str, Wrong] = {
    "unknown task": (["run", "pengins"], "'penguins'"),
    "unknown task, nothing near": (["run", "xyzzy"], "credit, penguins"),
    "no YAML": ("name: [credit", "line"),
    "not a mapping": ("- name: credit", "must be a mapping"),
    "bytes that are no text": ("name: \x01", "is not YAML"),
    "unknown key within": (changed("target", colunm="x"), "'column'"),
    "missing key": ({k: v for k, v in PENGUINS.items() if k != "unit"}, "'unit'"),
    "a kind that there is not": (changed("target", kind="multi"), "target.kind"),
    "missing file": (source(uri="data/nothing.csv"), "data/nothing.csv does not exist"),
    "missing environment variable": (
        source(uri="${NO_SUCH_DATABASE_URL}", query="select 1"),
        "NO_SUCH_DATABASE_URL",
    ),
    "database without query": (source(uri="sqlite:///FOLDER/none.db"), "query"),
    "database that does not answer": (
        source(uri="sqlite:///FOLDER/none.db", query="select * from t"),
        "did not answer",
    ),
    "not a table": (source(uri="FOLDER/notes.pdf"), "no table"),
    "broken table": (source(uri="FOLDER/broken.csv.gz"), "cannot be read"),
    "no rows": (source(uri="FOLDER/header.csv"), "no rows"),
    "no bytes": (source(uri="FOLDER/nothing.csv"), "empty"),
    "repeated column": (source(uri="FOLDER/twice.csv"), "more than one column"),
    "target column absent": (changed("target", column="speces"), "'species'"),
    "positive label absent": (
        WITHOUT_MONEY | {"target": {"column": "sex", "kind": "binary", "positive": "other"}},
        "target.positive",
    ),
    "one outcome only": (
        WITHOUT_MONEY | {"sources": [{"name": "one", "uri": "FOLDER/one.csv"}]},
        "nothing to predict",
    ),
    "text for a number": (
        WITHOUT_MONEY | {"target": {"column": "species", "kind": "regression"}},
        "text",
    ),
    "unknown column in the rule": (
        decided("case when bil_length_mm > 3 then 'Gentoo' else 'Adelie' end"),
        "'bill_length_mm'",
    ),
    "an aggregate": (decided("max(species)"), "sums up"),
    "no expression": (decided("when Gentoo then"), "current_process.decide"),
    "a decision that there is not": (decided("'Gentooo'"), "Gentooo"),
    "matrix without a class": (
        changed("value", matrix={"Adelie": {"Adelie": 1}}),
        "value.matrix",
    ),
    "no dates to split by": (
        PENGUINS | {"split": {"by": "time", "column": "island"}},
        "hold no date",
    ),
    "unknown features": (PENGUINS | {"features": "paymnt_history"}, "'payment_history'"),
    "misspelt parameter": (["run", "penguins", "-p", "fold=3"], "'folds'"),
    "parameter of another type": (["run", "penguins", "-p", "folds=many"], "a whole number"),
    "parameter of another stage": (
        ["run", "penguins", "-p", "02_dataset.folds=3"],
        "02_dataset has no parameter 'folds'",
    ),
    "parameter without a value": (["run", "penguins", "-p", "folds"], "name=value"),
    "parameter file missing": (["run", "penguins", "-f", "FOLDER/none.yaml"], "no parameter file"),
    "parameter file no YAML": (["run", "penguins", "-f", "FOLDER/broken.yaml"], "is not YAML"),
    "unknown stage": (["run", "penguins", "--until", "06"], "stages are 00_define, 01_research"),
    "table without that target": (
        ["run", "data/penguins.csv.gz", "--target", "specie"],
        "'species'",
    ),
    "check of a wrong task": (["check", "pengins"], "'penguins'"),
    "a rule that writes": (
        decided("'Gentoo') as v; copy examples to '/tmp/copied.csv'; select ('Gentoo'"),
        "current_process.decide",
    ),
}
TABLES = {
    "header.csv": b"species,island\n",
    "nothing.csv": b"",
    "twice.csv": b"species,island,island\nA,x,y\nB,x,y\n",
    "notes.pdf": b"no table",
    "one.csv": b"species,island\nA,x\nA,y\n",
    "broken.yaml": b"folds: [",
    "broken.csv.gz": gzip.compress(b"species,island\nA,x\n" * 1000)[:40],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tables of all sorts."""
    place = tmp_path_factory.mktemp("refused")
    for name, content in TABLES.items():
        (place / name).write_bytes(content)
    return place


def one_sentence(text: str) -> str:
    """The only line of a text; no traceback."""
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 1 and "Traceback" not in text and "fault of ours" not in text, text
    assert lines[0].endswith((".", "?", "!")) or ": " in lines[0], lines[0]
    return lines[0]


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_wrong_is_refused_in_a_sentence(name: str, folder: Path, tmp_path: Path) -> None:
    given, says = FAULTS[name]
    if not isinstance(given, list):
        text = given if isinstance(given, str) else yaml.safe_dump(given, sort_keys=False)
        (tmp_path / "task.yaml").write_text(text.replace("FOLDER", str(folder)))
        given = ["run", str(tmp_path / "task.yaml")]
    words = [word.replace("FOLDER", str(folder)) for word in given]
    done = called(*words, env=surroundings(tmp_path))
    assert (done.returncode, done.stdout) == (2, ""), done
    assert says in one_sentence(done.stderr)
    assert not list((tmp_path / "reports").glob("*"))
    assert not Path("/tmp/copied.csv").exists()


MOUNTED = """
mount -t tmpfs -o "$1" tmpfs "$2" && {
    "$3" -m ml_workflow.cli run penguins
    status=$?
    ls "$2"/*/run.json >"$2.left" 2>/dev/null
    exit $status
}
"""


def on_its_own_disk(tmp_path: Path, options: str) -> subprocess.CompletedProcess[str]:
    """A run with its reports on a mounted file system; the records left are listed beside it.

    Where mounts are forbidden a place that nobody can write, or that is full, stands in.
    """
    place = tmp_path / "disk"
    place.mkdir()
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    mount = [*unshare, "mount", "-t", "tmpfs", "tmpfs", str(place)]
    env = surroundings(tmp_path)
    if subprocess.run(mount, capture_output=True).returncode:
        (tmp_path / "reports").symlink_to("/proc/reports" if options == "ro" else "/dev/full")
        return called("run", "penguins", env=env)
    command = [*unshare, "sh", "-c", MOUNTED, "sh", options, str(place), sys.executable]
    env["ML_WORKFLOW_REPORTS"] = str(place)
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_a_file_in_the_place_of_the_reports_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file")
    done = called("run", "penguins", env=surroundings(tmp_path))
    assert done.returncode == 2 and "cannot be written" in one_sentence(done.stderr)
    assert (tmp_path / "reports").read_text() == "a file"


@pytest.mark.parametrize(
    ("options", "said"), [("ro", "cannot be"), ("size=32k", "room"), ("size=300k", "room")]
)
def test_a_disk_that_is_read_only_or_full_is_refused_before_and_during_a_run(
    options: str, said: str, tmp_path: Path
) -> None:
    done = on_its_own_disk(tmp_path, options)
    assert done.returncode == 2, done
    sentence, left = one_sentence(done.stderr), tmp_path / "disk.left"
    assert "written" in sentence and said in sentence
    assert options == "size=300k" or not left.exists() or left.read_text() == ""
