import shutil
from collections import namedtuple
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest

from cleanplate.app.checks import Outcome
from cleanplate.app.connect import connect
from cleanplate.app.doctor import clock_checks, examine
from cleanplate.jobs.job import JobState, NewJob, Subject
from cleanplate.storage.ledger import CopyRecord
from fakes.connectable import CONFIG
from fakes.redis_server import RedisServer

URL = "http://127.0.0.1:9090"


def found_by_doctor(application, **options):
    return {check.name: check for check in examine(application, **options)}


def connected(application, label_studio, config=CONFIG, **settings):
    """An application with one connected project, and the project."""
    made, project = application(**settings), label_studio.add_project(config)
    list(connect(made, project, backend_url=URL))
    made.queue.lead("a worker", for_s=60)
    return made, project


def test_where_all_is_right_every_check_is_well(application, label_studio) -> None:
    made, project = connected(application, label_studio)

    found = found_by_doctor(made)

    assert [check for check in found.values() if check.outcome is not Outcome.OK] == []
    assert {
        "data directory",
        "segmenter",
        "inpainter",
        "Label Studio",
        "clocks",
        "token",
        f"ML backend of project {project}",
        f"webhook of project {project}",
        f"labelling config of project {project}",
        "worker",
        "jobs",
    } <= found.keys()
    assert "legacy token" in found["token"].message
    assert "1.23.2" in found["Label Studio"].message


@pytest.mark.usefixtures("label_studio")
@pytest.mark.parametrize(
    ("options", "outcome", "told"),
    [
        ((), Outcome.OK, "shared with other machines"),
        (("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"), Outcome.WARNING, "allkeys-lru"),
        (("--requirepass", "another"), Outcome.FAILED, "does not accept the user or the password"),
    ],
)
def test_redis_is_looked_at(application, options, outcome, told) -> None:
    with RedisServer(*options) as server:
        url = server.url.replace("unix://", "unix://jane:hunter2@") if "--requirepass" in options else server.url
        made = application(CLEANPLATE_REDIS_URL=url, CLEANPLATE_EMBEDDING_SECRET="e" * 20)
        found = found_by_doctor(made)["Redis"]
        made.close()

    assert found.outcome is outcome
    assert told in found.message
    assert bool(found.remedy) == (outcome is not Outcome.OK)
    assert "hunter2" not in found.message + found.remedy


@pytest.mark.usefixtures("label_studio")
def test_redis_that_nobody_wants_is_not_looked_at(application) -> None:
    assert "Redis" not in found_by_doctor(application())


@pytest.mark.usefixtures("label_studio")
def test_a_data_directory_that_cannot_be_written_names_its_setting(application, tmp_path) -> None:
    (tmp_path / "file").write_text("")

    found = found_by_doctor(application(CLEANPLATE_DATA_DIR=str(tmp_path / "file" / "data")))

    assert found["data directory"].outcome is Outcome.FAILED
    assert "CLEANPLATE_DATA_DIR" in found["data directory"].remedy
    assert found["jobs"].outcome is Outcome.FAILED


@pytest.mark.usefixtures("label_studio")
def test_a_disk_that_is_nearly_full_is_a_warning(application, monkeypatch) -> None:
    usage = namedtuple("usage", "total used free")(10, 9, 1024)  # noqa: PYI024
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)

    assert found_by_doctor(application())["data directory"].outcome is Outcome.WARNING


@pytest.mark.usefixtures("label_studio")
@pytest.mark.parametrize("kind", ["segmenter", "inpainter", "detector"])
def test_an_engine_that_nobody_knows_names_its_setting_and_the_others_are_still_examined(application, kind) -> None:
    found = found_by_doctor(application(**{f"CLEANPLATE_{kind.upper()}": "magic"}))

    assert found[kind].outcome is Outcome.FAILED
    assert f"CLEANPLATE_{kind.upper()}" in found[kind].remedy
    assert found["Label Studio"].outcome is Outcome.OK
    assert found["jobs"].outcome is Outcome.OK


@pytest.mark.usefixtures("label_studio")
def test_a_local_files_root_that_is_not_there_names_its_setting(application, tmp_path) -> None:
    found = found_by_doctor(application(CLEANPLATE_LOCAL_FILES_ROOT=str(tmp_path / "nowhere")))

    assert found["local files"].outcome is Outcome.FAILED
    assert "CLEANPLATE_LOCAL_FILES_ROOT" in found["local files"].remedy


@pytest.mark.usefixtures("label_studio")
@pytest.mark.parametrize("missing", ["LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"])
def test_a_missing_address_or_token_is_named(application, missing) -> None:
    found = found_by_doctor(application(**{missing: ""}))

    assert found["settings"].outcome is Outcome.FAILED
    assert missing in found["settings"].message


@pytest.mark.usefixtures("label_studio")
def test_an_approval_that_means_nothing_names_its_setting(application) -> None:
    found = found_by_doctor(application(CLEANPLATE_APPROVAL="whenever"))

    assert found["settings"].outcome is Outcome.FAILED
    assert "CLEANPLATE_APPROVAL" in found["settings"].message


@pytest.mark.usefixtures("label_studio")
def test_a_label_studio_that_does_not_answer_names_its_setting(application) -> None:
    found = found_by_doctor(application(LABEL_STUDIO_URL="http://127.0.0.1:1"))

    assert found["Label Studio"].outcome is Outcome.FAILED
    assert "LABEL_STUDIO_URL" in found["Label Studio"].remedy
    assert found["jobs"].outcome is Outcome.OK


@pytest.mark.usefixtures("label_studio")
def test_a_token_that_is_not_accepted_names_where_to_get_another(application) -> None:
    found = found_by_doctor(application(LABEL_STUDIO_API_KEY="another"))

    assert found["token"].outcome is Outcome.FAILED
    assert "Account & Settings" in found["token"].remedy


@pytest.mark.parametrize(
    ("ahead", "outcome", "words"),
    [
        (timedelta(seconds=2), Outcome.OK, "agree"),
        (timedelta(seconds=90), Outcome.WARNING, "ahead"),
        (timedelta(seconds=-90), Outcome.WARNING, "behind"),
    ],
)
def test_clocks_that_disagree_are_a_warning(ahead, outcome, words) -> None:
    (check,) = clock_checks(ClientWithHeaders({"Date": format_datetime(datetime.now(UTC) + ahead, usegmt=True)}))

    assert check.outcome is outcome
    assert words in check.message


@pytest.mark.parametrize("headers", [{}, {"Date": "yesterday"}, {"Date": "Fri, 20 Nov 2026 12:00:00 -0000"}])
def test_a_server_that_does_not_tell_the_time_is_not_judged(headers) -> None:
    assert list(clock_checks(ClientWithHeaders(headers))) == []


def test_without_any_project_that_has_a_policy_the_remedy_is_a_command(application, label_studio) -> None:
    label_studio.add_project(CONFIG.replace('clean="remove"', ""))

    check = found_by_doctor(application())["projects"]

    assert check.outcome is Outcome.WARNING
    assert "cleanplate connect" in check.remedy


def test_a_chosen_project_that_is_not_there_is_named(application, label_studio) -> None:
    _, project = connected(application, label_studio)

    found = found_by_doctor(application(CLEANPLATE_PROJECTS=f"{project},4711"))

    assert found["project 4711"].outcome is Outcome.WARNING
    assert f"ML backend of project {project}" in found
    assert "projects" not in found


@pytest.mark.parametrize("setting", ["ML_BLOCK_LOCAL_IP", "SSRF_PROTECTION_ENABLED"])
def test_a_blocked_door_is_named_with_its_setting(application, label_studio, setting) -> None:
    made, _ = connected(application, label_studio)
    setattr(label_studio, setting.lower(), True)

    failed = [check for check in examine(made) if not check.ok]

    assert len(failed) == 1
    assert f"{setting}=false" in failed[0].remedy


def test_a_given_address_is_tried_at_the_doors_instead_of_the_connected_one(application, label_studio) -> None:
    made, _ = connected(application, label_studio)

    doors = [check for check in examine(made, backend_url="http://10.0.0.5:9090") if "may call" in check.name]

    assert [check.message for check in doors] == ["http://10.0.0.5:9090 is not blocked"] * 2


def test_the_doors_are_tried_once_for_several_projects_of_one_backend(application, label_studio) -> None:
    made, _ = connected(application, label_studio)
    list(connect(made, label_studio.add_project(CONFIG), backend_url=URL))

    assert len([check for check in examine(made) if "may call" in check.name]) == 2


def test_a_project_without_a_backend_is_told_the_command_that_connects_it(application, label_studio) -> None:
    project = label_studio.add_project(CONFIG)

    found = found_by_doctor(application())

    for name in (f"ML backend of project {project}", f"webhook of project {project}"):
        assert found[name].outcome is Outcome.WARNING
        assert f"cleanplate connect --project {project}" in found[name].remedy


def test_a_backend_that_is_not_interactive_shows_no_clicks(application, label_studio) -> None:
    made, project = connected(application, label_studio)
    for backend in label_studio.backends.values():
        backend["is_interactive"] = False

    check = found_by_doctor(made)[f"ML backend of project {project}"]

    assert check.outcome is Outcome.FAILED
    assert "cleanplate connect" in check.remedy


def test_a_backend_that_label_studio_does_not_reach_names_its_address(application, label_studio) -> None:
    made, project = connected(application, label_studio)
    label_studio.reaches = False

    check = found_by_doctor(made)[f"ML backend of project {project}"]

    assert check.outcome is Outcome.FAILED
    assert URL in check.remedy


@pytest.mark.parametrize("change", [{"headers": {}}, {"is_active": False}])
def test_a_webhook_that_does_not_carry_the_secret_is_a_warning(application, label_studio, change) -> None:
    made, project = connected(application, label_studio)
    for webhook in label_studio.webhooks.values():
        webhook.update(change)

    assert found_by_doctor(made)[f"webhook of project {project}"].outcome is Outcome.WARNING


def test_a_mistake_in_a_labelling_config_is_failed_and_named(application, label_studio) -> None:
    made, project = connected(application, label_studio, config=CONFIG.replace('clean="remove"', 'clean="vanish"'))

    problems = [check for check in examine(made) if not check.ok]

    assert {check.name for check in problems} == {f"labelling config of project {project}"}
    assert all("vanish" in check.message for check in problems)


def test_a_labelling_config_that_is_no_xml_says_where_to_mend_it(application, label_studio) -> None:
    made, project = connected(application, label_studio, config='<View clean="remove"')

    check = found_by_doctor(made)[f"labelling config of project {project}"]

    assert check.outcome is Outcome.FAILED
    assert "Labeling Interface" in check.remedy


@pytest.mark.parametrize(
    ("inside", "found"),
    [("set1", (Outcome.OK, "beside them")), ("other", (Outcome.WARNING, "uploaded instead"))],
)
def test_the_local_files_root_is_compared_with_the_folders_of_the_project(
    application, label_studio, tmp_path, inside, found
) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    (theirs / "set1").mkdir(parents=True)
    (ours / inside).mkdir(parents=True)
    label_studio.document_root = theirs
    made, project = connected(application, label_studio, CLEANPLATE_LOCAL_FILES_ROOT=str(ours))
    made.client.create_local_storage(project, path=str(theirs / "set1"), title="photos", regex_filter=".*")

    check = found_by_doctor(made)[f"local files of project {project}"]

    assert check.outcome is found[0]
    assert found[1] in check.message


@pytest.mark.usefixtures("label_studio")
def test_a_missing_worker_is_a_warning(application) -> None:
    assert found_by_doctor(application())["worker"].outcome is Outcome.WARNING


@pytest.mark.parametrize("state", [JobState.DEAD, JobState.ATTENTION])
def test_jobs_that_need_a_person_are_a_warning_with_the_command_that_lists_them(
    application, label_studio, state
) -> None:
    made, _ = connected(application, label_studio)
    made.queue.put(NewJob("a" * 64, Subject(made.client.url, 1, 2, 3)))
    made.queue.end(made.queue.claim("a worker"), state, reason="bad_image", message="no image")

    check = found_by_doctor(made)["jobs"]

    assert check.outcome is Outcome.WARNING
    assert f"--state {state}" in check.remedy


def test_no_check_shows_a_token_or_a_secret(application, label_studio) -> None:
    made, _ = connected(
        application, label_studio, CLEANPLATE_BASIC_AUTH_USER="studio", CLEANPLATE_BASIC_AUTH_PASSWORD="pass-word"
    )

    said = " ".join(f"{check.message} {check.remedy}" for check in examine(made))

    assert label_studio.token not in said
    assert made.webhook_secret not in said
    assert "pass-word" not in said


class ClientWithHeaders:
    """Answers every request with these headers."""

    def __init__(self, headers) -> None:
        self._headers = headers

    @contextmanager
    def open(self, _path):
        yield SimpleNamespace(headers=self._headers)


@pytest.mark.usefixtures("label_studio")
def test_no_detector_is_right_where_none_is_wanted(application) -> None:
    found = found_by_doctor(application(CLEANPLATE_DETECTOR="none"))

    assert found["detector"].outcome is Outcome.OK
    assert "nobody looks" in found["detector"].message


@pytest.mark.usefixtures("label_studio")
@pytest.mark.parametrize(("count", "said"), [(1, "1 copy waits"), (3, "3 copies wait")])
def test_copies_that_wait_for_a_second_look_are_a_warning_with_the_command_that_lists_them(
    application, count, said
) -> None:
    made = application()
    assert found_by_doctor(made)["second look"].outcome is Outcome.OK
    for number in range(count):
        url = made.client.url
        record = CopyRecord(f"{number}", url, 1, 2, 3, "job", number, "x.png", "/x.png", "00", 1, second_look=("why",))
        made.ledger.put(record)

    check = found_by_doctor(made)["second look"]

    assert check.outcome is Outcome.WARNING
    assert said in check.message
    assert "cleanplate second-look list" in check.remedy


@pytest.mark.usefixtures("label_studio")
def test_a_ledger_that_cannot_be_read_is_a_failed_check(application, tmp_path) -> None:
    made = application()
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data" / "ledger.sqlite3").write_bytes(b"this is no database, and never was " * 100)

    assert found_by_doctor(made)["ledger"].outcome is Outcome.FAILED
