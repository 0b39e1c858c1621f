from pathlib import Path

import pytest
from console import Console, ScriptError, clock, last_lines


@pytest.mark.parametrize(("duration_s", "text"), [(0, "0:00"), (7.4, "0:07"), (59.6, "1:00"), (750, "12:30")])
def test_a_clock_shows_minutes_and_seconds(duration_s, text) -> None:
    assert clock(duration_s) == text


def test_a_step_says_when_it_starts_where_there_is_no_terminal(capsys) -> None:
    with Console().step("Boiling water"):
        pass

    assert capsys.readouterr().out == "Boiling water …\n"


def test_a_step_that_fails_is_not_ticked_off(capsys, monkeypatch) -> None:
    monkeypatch.setattr("console.QUICK_S", 0)
    with pytest.raises(ScriptError), Console().step("Boiling water"):
        raise ScriptError("no water")

    assert "✓" not in capsys.readouterr().out


def test_a_failure_shows_what_happened_the_end_of_the_log_and_the_remedy(capsys, tmp_path) -> None:
    log = tmp_path / "kettle.log"
    log.write_text("\n".join(f"line {number}" for number in range(50)) + "\n\n")

    Console().fail(ScriptError("no water", remedy="Open the tap.", log=log))

    shown = capsys.readouterr().out
    assert "no water" in shown
    assert "line 49" in shown
    assert "line 30" not in shown
    assert str(log) in shown
    assert "Open the tap." in shown


def test_no_log_is_no_lines(tmp_path) -> None:
    assert last_lines(Path(tmp_path / "missing.log")) == ()


def test_long_log_lines_are_cut(tmp_path) -> None:
    log = tmp_path / "a.log"
    log.write_text("x" * 10_000)

    (line,) = last_lines(log)

    assert len(line) < 200
