"""A run goes from stage to stage, stops at a gate or a fault, and reuses what is unchanged."""

from pathlib import Path

from ml_workflow.store.run import STAGES
from tests.conftest import ROOT, edit
from tests.run.conftest import CODE, Project


def test_stages_are_executed_once_and_reused_until_something_changes(project: Project) -> None:
    assert project.run("-p", "03_poc.seed=1").returncode == 0
    first, run = project.newest, project.record
    assert project.statuses == ["done"] * 6 and run["outcome"] == "pending"
    assert run["parameters"] == {"03_poc": {"seed": 1}}
    assert run["stages"][1]["inputs"]["files"].keys() == {"0.json"}
    assert run["stages"][1]["made"] == ["01_research.json", "1.json"]

    project.run("-p", "03_poc.seed=1")
    assert project.statuses == ["reused"] * 6
    assert {stage["from"] for stage in project.record["stages"]} == {first.name}
    for name in ("05_abtest.html", "05_abtest.ipynb", "files/5.json"):
        assert (project.newest / name).samefile(first / name)
    index = (project.reports / "index.html").read_text(encoding="utf-8")
    assert first.name in index and project.newest.name in index
    assert (project.reports / "latest").resolve() == project.newest

    project.run("-p", "03_poc.seed=2", "--until", "poc")
    assert project.statuses == ["reused"] * 3 + ["done", "pending", "pending"]
    project.run("--from", "02", "--until", "02")
    assert project.statuses[:3] == ["reused", "reused", "done"]
    project.run("--fresh", "--until", "00")
    assert project.statuses[0] == "done"

    project.write("01_research", CODE.format(stage="01_research") + "# another version")
    project.run("-p", "03_poc.seed=1")
    assert project.statuses == ["reused", "done", *["reused"] * 4]  # it made what it made before


def test_a_stage_runs_anew_where_a_module_of_the_projects_own_package_changed(
    tmp_path: Path,
) -> None:
    project = Project(tmp_path)
    edit(tmp_path / "settings.ini", "lib_path = ml_workflow", "lib_path = own")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "__init__.py").write_text("")
    project.write(STAGES[1], "from own import rules\n" + CODE.format(stage=STAGES[1]))
    for rule, status in (("1", "done"), ("1", "reused"), ("2", "done")):
        (tmp_path / "own" / "rules.py").write_text(f"RULE = {rule}\n")
        project.run("--until", "01")
        assert project.statuses[1] == status
    read = project.record["stages"][1]["inputs"]["modules"]
    assert {"own/rules.py", str(ROOT / "ml_workflow" / "store" / "run.py")} <= read.keys()


def test_a_gate_that_says_stop_ends_the_run_with_three_unless_it_is_forced(
    project: Project,
) -> None:
    done = project.run("-p", "01_research.seed=-1")
    assert (done.returncode, done.stderr) == (3, "") and "Seed -1." in done.stdout
    assert project.record["outcome"] == "stop"
    assert project.statuses[1:] == ["stopped", *["pending"] * 4]
    assert (project.newest / "01_research.html").exists()
    done = project.run("-p", "01_research.seed=-1", "--force")
    assert done.returncode == 3 and project.record["outcome"] == "stop"
    assert project.statuses[:2] == ["reused", "reused"]
    assert set(project.statuses) == {"reused", "done"}


def test_a_fault_has_status_one_and_a_refusal_two_each_in_a_sentence(project: Project) -> None:
    for seed, status, said in ((98, 1, "02_dataset failed: division by zero"), (99, 2, "refused.")):
        done = project.run("-p", f"02_dataset.seed={seed}")
        assert done.returncode == status and said in done.stderr
        assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr
        assert project.statuses[2:] == ["failed", *["pending"] * 3]
        assert project.record["outcome"] == "failed"
        assert "papermill-error-cell" in (project.newest / "02_dataset.ipynb").read_text()
        index = (project.reports / "index.html").read_text()
        assert project.newest.name in index and (project.newest / "index.html").exists()


def test_a_kernel_that_dies_is_a_fault_that_names_the_cell(project: Project) -> None:
    project.write("02_dataset", "import os\nos._exit(7)")
    done = project.run("--until", "02")
    assert done.returncode == 1 and project.statuses[2] == "failed"
    assert "02_dataset failed: the kernel ended in cell 3: " in done.stderr
    project.write("02_dataset", CODE.format(stage=STAGES[2]))
