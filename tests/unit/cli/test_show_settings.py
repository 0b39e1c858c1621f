import ast
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cleanplate.cli.main import app
from cleanplate.settings import Settings

CHECKOUT = Path(__file__).parents[3]
PACKAGE = CHECKOUT / "backend" / "cleanplate"


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


def test_the_page_of_the_documentation_is_up_to_date() -> None:
    answer = CliRunner().invoke(app, ["settings", "--markdown"])

    page = (CHECKOUT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert answer.output == page, "write it anew: cleanplate settings --markdown > docs/settings.md"


def test_the_page_shows_defaults_and_bounds_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEANPLATE_LEASE_S", "7")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "very-secret-token")

    page = CliRunner().invoke(app, ["settings", "--markdown"]).output

    assert "| `CLEANPLATE_LEASE_S` | `60` | 1 to 3,600 |" in page
    assert "| `CLEANPLATE_LOG_FORMAT` | `auto` | `auto`, `text`, `json` |" in page
    assert "choice:&lt;name&gt;" in page
    assert "very-secret-token" not in page


def test_no_setting_is_dead() -> None:
    files = [path for room in ("app", "cli", "web") for path in (PACKAGE / room).rglob("*.py")]

    read = {name for path in files for name in names_read_from_settings(ast.parse(path.read_text(encoding="utf-8")))}

    assert set(Settings.model_fields) - read == set()


def names_read_from_settings(tree: ast.Module) -> set[str]:
    """What is read from anything called settings."""
    owners = ((node.attr, node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return {name for name, owner in owners if getattr(owner, "attr", getattr(owner, "id", "")) == "settings"}
