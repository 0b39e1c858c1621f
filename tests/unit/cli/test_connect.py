import json

import pytest

from fakes.connectable import CONFIG

URL = "http://127.0.0.1:9090"


def test_a_project_is_connected_with_each_step_told(cleanplate, label_studio) -> None:
    project = label_studio.add_project(CONFIG)

    answer = cleanplate("connect", "--project", project, "--backend-url", f"{URL}/")

    assert answer.exit_code == 0
    assert f"Project {project} is connected." in answer.stdout
    assert "✓ ML backend" in answer.stdout
    assert "✓ webhook" in answer.stdout
    assert [backend["url"] for backend in label_studio.backends.values()] == [URL]


def test_the_json_lists_every_step(cleanplate, label_studio) -> None:
    project = label_studio.add_project(CONFIG)

    answer = json.loads(cleanplate("connect", "--project", project, "--backend-url", URL, "--json").stdout)

    assert answer["connected"] is True
    assert "ML backend" in [step["name"] for step in answer["steps"]]
    assert {step["outcome"] for step in answer["steps"]} == {"ok"}


def test_blocked_doors_are_named_with_both_settings(cleanplate, label_studio) -> None:
    project = label_studio.add_project(CONFIG)
    label_studio.ml_block_local_ip = label_studio.ssrf_protection_enabled = True

    answer = cleanplate("connect", "--project", project, "--backend-url", URL)

    assert answer.exit_code == 1
    assert "ML_BLOCK_LOCAL_IP=false" in answer.stdout
    assert "SSRF_PROTECTION_ENABLED=false" in answer.stdout
    assert f"Project {project} is not connected" in answer.stderr


def test_a_wrong_project_number_is_said(cleanplate, label_studio) -> None:
    answer = cleanplate("connect", "--project", 4711, "--backend-url", URL, "--json")

    assert answer.exit_code == 1
    assert json.loads(answer.stdout)["error"]["reason"] == "project_missing"
    assert not label_studio.backends


@pytest.mark.parametrize("url", ["localhost:9090", "http://", "ftp://localhost", "http://localhost:9090?x=1", ""])
def test_an_address_that_is_none_is_refused_before_label_studio_is_asked(cleanplate, label_studio, url) -> None:
    answer = cleanplate("connect", "--project", 1, "--backend-url", url)

    assert answer.exit_code == 1
    assert "http(s)://" in answer.stderr
    assert not label_studio.requests


def test_the_labelling_config_of_a_file_is_given_to_the_project(cleanplate, label_studio, tmp_path) -> None:
    project = label_studio.add_project("<View/>")
    (tmp_path / "config.xml").write_bytes(b"\xef\xbb\xbf" + CONFIG.encode())

    answer = cleanplate(
        "connect", "--project", project, "--backend-url", URL, "--label-config", tmp_path / "config.xml"
    )

    assert answer.exit_code == 0
    assert label_studio.projects[project]["label_config"] == CONFIG


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (CONFIG.replace("remove", "[vanish]").encode(), "[vanish]"),
        (b"<View", "not XML"),
        (b"\xff\xfe", "not UTF-8"),
        (b" " * 1024 * 1024 + b"<View/>", "longer than"),
    ],
)
def test_a_file_that_is_no_right_labelling_config_changes_nothing(
    cleanplate, label_studio, tmp_path, content, words
) -> None:
    project = label_studio.add_project(CONFIG)
    (tmp_path / "config.xml").write_bytes(content)

    answer = cleanplate(
        "connect", "--project", project, "--backend-url", URL, "--label-config", tmp_path / "config.xml"
    )

    assert answer.exit_code == 1
    assert words in answer.output
    assert label_studio.projects[project]["label_config"] == CONFIG
    assert not label_studio.backends


def test_a_label_studio_that_does_not_answer_is_said_in_a_sentence(cleanplate, monkeypatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "token")

    answer = cleanplate("connect", "--project", 1, "--backend-url", URL)

    assert answer.exit_code == 1
    assert "did not answer" in answer.stderr


def test_without_label_studio_s_address_the_setting_is_named(cleanplate) -> None:
    answer = cleanplate("connect", "--project", 1, "--backend-url", URL)

    assert answer.exit_code == 1
    assert "LABEL_STUDIO_URL" in answer.stderr
