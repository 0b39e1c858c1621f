import json

import pytest
from typer.testing import CliRunner

from cleanplate.cli.main import app


def test_every_setting_is_listed_with_its_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEANPLATE_PROJECTS", "7,3")

    rows = json.loads(CliRunner().invoke(app, ["settings", "--json"]).output)

    listed = {row["name"]: row["value"] for row in rows}
    assert listed["CLEANPLATE_PROJECTS"] == "3, 7"
    assert listed["CLEANPLATE_SEGMENTER"] == "graphcut"
    assert "LABEL_STUDIO_URL" in listed
    assert all(row["meaning"] for row in rows)


def test_secrets_are_only_said_to_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "very-secret-token")

    answer = CliRunner().invoke(app, ["settings"])

    assert "very-secret-token" not in answer.output
    assert "(set)" in answer.output


def test_a_wrong_setting_ends_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEANPLATE_SEGMENTR", "graphcut")

    answer = CliRunner().invoke(app, ["settings", "--json"])

    assert answer.exit_code == 1
    assert json.loads(answer.output)["error"]["reason"] == "settings"
