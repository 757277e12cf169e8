"""Versions switch by one command and back, and the table of them shows it."""

from pathlib import Path

from tests.conftest import called, within
from tests.serve.conftest import home_of, register_run


def test_promote_and_rollback_switch_the_champion_and_versions_shows_it(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    folder, env, run, live = home_of(runs["penguins"], "penguins", tmp_path)
    live.close()
    with within(folder, env):
        register_run(run, "penguins", {"log_loss": 0.25, "net_value_per_month": 1234.0})
    for words, sentence in (
        (("promote", "penguins", "challenger"), "penguins is served by version 2 now.\n"),
        (("rollback", "penguins"), "penguins is served by version 1 again.\n"),
    ):
        assert called(*words, env=env, cwd=folder).stdout == sentence
    shown = called("versions", "penguins", env=env, cwd=folder)
    assert shown.stderr == "" and shown.stdout.count("UTC") == 2
    lines = [line.split() for line in shown.stdout.splitlines() if line.strip()]
    assert [line[:3] for line in lines[2:4]] == [
        ["2", "challenger", run.name],
        ["1", "champion", run.name],
    ]
    assert "log_loss 0.25" in shown.stdout and "1,234" in shown.stdout
