"""A verdict as people see it: its word once, and a table's names as text."""

from ml_workflow.store.run import Verdict


def test_a_verdict_says_its_word_once_and_shows_names_as_they_are() -> None:
    shown = Verdict(True, "Keep running: <b>a</b> & b tell little", {}, "keep running")._repr_html_()
    assert shown.count("eep running") == 0 and "KEEP RUNNING</b>&ensp;&lt;b&gt;a&lt;/b&gt; &amp; b tell little</div>" in shown
    assert "GO</b>&ensp;There is signal" in Verdict(True, "There is signal.")._repr_html_()
