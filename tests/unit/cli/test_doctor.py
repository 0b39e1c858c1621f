import json

from cleanplate.app.application import Application
from cleanplate.app.connect import connect
from cleanplate.settings import read_settings
from fakes.connectable import CONFIG

URL = "http://127.0.0.1:9090"


def test_where_all_is_right_the_exit_code_is_0(cleanplate, label_studio) -> None:
    application = Application(read_settings())
    list(connect(application, label_studio.add_project(CONFIG), backend_url=URL))
    application.queue.lead("a worker", for_s=60)

    answer = cleanplate("doctor")

    assert answer.exit_code == 0
    assert "✓ token" in answer.stdout
    assert "! " not in answer.stdout
    assert answer.stdout.splitlines()[-1] == "Nothing has to be mended."


def test_a_warning_is_counted_but_is_no_failure(cleanplate, label_studio) -> None:
    list(connect(Application(read_settings()), label_studio.add_project(CONFIG), backend_url=URL))

    answer = cleanplate("doctor")

    assert answer.exit_code == 0
    assert "! worker" in answer.stdout
    assert answer.stdout.splitlines()[-1].startswith("Nothing has to be mended, but 1 of ")


def test_what_has_to_be_mended_is_marked_with_its_remedy_and_the_exit_code_is_1(cleanplate, label_studio) -> None:
    list(connect(Application(read_settings()), label_studio.add_project(CONFIG), backend_url=URL))
    label_studio.ssrf_protection_enabled = True

    answer = cleanplate("doctor")

    assert answer.exit_code == 1
    lines = answer.stdout.splitlines()
    found = next(number for number, line in enumerate(lines) if line.startswith("✗"))
    assert "may call the webhook" in lines[found]
    assert "SSRF_PROTECTION_ENABLED=false" in lines[found + 1]
    assert lines[-1].startswith("1 of ")


def test_the_json_lists_every_check(cleanplate, label_studio) -> None:
    label_studio.add_project(CONFIG)

    answer = cleanplate("doctor", "--json")

    report = json.loads(answer.stdout)
    assert (answer.exit_code, report["ok"]) == (0, True)
    assert {"name", "outcome", "message", "remedy"} == set(report["checks"][0])
    assert {"ok", "warning"} == {check["outcome"] for check in report["checks"]}


def test_the_json_tells_of_a_failure_by_exit_code_too(cleanplate) -> None:
    answer = cleanplate("doctor", "--json")

    assert answer.exit_code == 1
    assert json.loads(answer.stdout)["ok"] is False


def test_an_address_that_is_none_is_refused(cleanplate) -> None:
    answer = cleanplate("doctor", "--backend-url", "localhost:9090")

    assert answer.exit_code == 1
    assert "http(s)://" in answer.stderr


def test_a_wrong_setting_ends_with_its_sentence(cleanplate, monkeypatch) -> None:
    monkeypatch.setenv("CLEANPLATE_LEASE_S", "soon")

    answer = cleanplate("doctor", "--json")

    assert answer.exit_code == 1
    assert "CLEANPLATE_LEASE_S" in json.loads(answer.stdout)["error"]["message"]
