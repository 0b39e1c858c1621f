import pytest

from cleanplate.app.checks import Outcome
from cleanplate.app.connect import SECRET_HEADER, connect
from cleanplate.errors import LabelStudioAuthError, LabelStudioRefusedError, ProjectMissingError
from cleanplate.label_studio.payloads import WebhookAction
from fakes.connectable import CONFIG

URL = "http://127.0.0.1:9090"

WITH_A_MISTAKE = CONFIG.replace('clean="remove"', 'clean="vanish"')


@pytest.fixture
def project(label_studio) -> int:
    return label_studio.add_project(CONFIG)


def steps_of(application, project_id, *, backend_url=URL, label_config=None):
    return list(connect(application, project_id, backend_url=backend_url, label_config=label_config))


def failed(checks):
    return [check for check in checks if not check.ok]


def test_a_project_gets_an_interactive_backend_and_the_webhook_that_came_with_it_gets_the_secret(
    application, label_studio, project
) -> None:
    made = application()

    steps = steps_of(made, project)

    assert not failed(steps)
    (backend,) = label_studio.backends.values()
    assert (backend["project"], backend["url"], backend["is_interactive"]) == (project, URL, True)
    (webhook,) = label_studio.webhooks.values()
    assert webhook["url"] == f"{URL}/webhook"
    assert webhook["headers"] == {SECRET_HEADER: made.webhook_secret}
    assert set(webhook["actions"]) == set(WebhookAction)
    assert (webhook["send_for_all_actions"], webhook["send_payload"]) == (False, True)


def test_a_webhook_is_made_where_label_studio_made_none(application, label_studio, project) -> None:
    made = application()
    steps_of(made, project)
    label_studio.webhooks.clear()

    assert not failed(steps_of(made, project))

    (webhook,) = label_studio.webhooks.values()
    assert (webhook["project"], webhook["headers"]) == (project, {SECRET_HEADER: made.webhook_secret})


def test_connecting_again_changes_nothing(application, label_studio, project) -> None:
    steps_of(application(), project)
    before = (dict(label_studio.backends), dict(label_studio.webhooks))
    label_studio.requests.clear()

    assert not failed(steps_of(application(), project))

    assert (label_studio.backends, label_studio.webhooks) == before
    assert not [path for method, path in label_studio.requests if method == "PATCH" and "webhooks" in path]


@pytest.mark.parametrize(
    "change", [{"is_active": False}, {"send_payload": False}, {"actions": []}, {"headers": {SECRET_HEADER: "another"}}]
)
def test_connecting_again_mends_a_webhook_that_was_changed(application, label_studio, project, change) -> None:
    made = application()
    steps_of(made, project)
    (webhook,) = label_studio.webhooks.values()
    as_it_should_be = dict(webhook)
    webhook.update(change)

    steps_of(made, project)

    assert webhook == as_it_should_be


def test_a_backend_that_was_connected_with_a_slash_at_its_end_is_the_same_one(
    application, label_studio, project
) -> None:
    made = application()
    made.client.create_ml_backend(project, url=f"{URL}/", title="by hand")

    steps_of(made, project)

    assert len(label_studio.backends) == 1
    assert len(label_studio.webhooks) == 1


def test_webhooks_of_others_are_left_alone(application, label_studio, project) -> None:
    made = application()
    other = label_studio.add_project(CONFIG)
    steps_of(made, other)
    theirs = made.client.create_webhook(project, url="http://elsewhere/webhook", actions=["TASKS_CREATED"], headers={})

    steps_of(made, project)

    assert label_studio.webhooks[theirs.id]["headers"] == {}
    assert len(label_studio.webhooks) == 3


@pytest.mark.parametrize(
    ("blocked", "setting"),
    [("ml_block_local_ip", "ML_BLOCK_LOCAL_IP=false"), ("ssrf_protection_enabled", "SSRF_PROTECTION_ENABLED=false")],
)
def test_a_blocked_door_is_named_with_its_setting_and_nothing_is_made(
    application, label_studio, project, blocked, setting
) -> None:
    setattr(label_studio, blocked, True)

    steps = steps_of(application(), project)

    (problem,) = failed(steps)
    assert setting in problem.remedy
    assert not label_studio.backends
    assert not label_studio.webhooks


def test_both_doors_are_named_when_both_are_blocked(application, label_studio, project) -> None:
    label_studio.ml_block_local_ip = label_studio.ssrf_protection_enabled = True

    remedies = " ".join(step.remedy for step in failed(steps_of(application(), project)))

    assert "ML_BLOCK_LOCAL_IP" in remedies
    assert "SSRF_PROTECTION_ENABLED" in remedies


def test_a_backend_that_label_studio_does_not_reach_is_not_connected(application, label_studio, project) -> None:
    label_studio.reaches = False

    (problem,) = failed(steps_of(application(), project))

    assert problem.name == "ML backend"
    assert "cleanplate serve" in problem.remedy
    assert URL in problem.remedy
    assert not label_studio.webhooks


@pytest.mark.usefixtures("label_studio")
def test_a_project_that_does_not_exist_is_an_error_that_names_it(application) -> None:
    with pytest.raises(ProjectMissingError, match="4711"):
        steps_of(application(), 4711)


@pytest.mark.usefixtures("label_studio")
def test_a_token_that_is_not_accepted_is_an_error_of_its_own(application, project) -> None:
    with pytest.raises(LabelStudioAuthError):
        steps_of(application(LABEL_STUDIO_API_KEY="another"), project)


def test_basic_auth_is_passed_on_to_label_studio(application, label_studio, project) -> None:
    steps_of(application(CLEANPLATE_BASIC_AUTH_USER="studio", CLEANPLATE_BASIC_AUTH_PASSWORD="pass:word"), project)

    (backend,) = label_studio.backends.values()
    assert backend["auth_method"] == "BASIC_AUTH"
    assert (backend["basic_auth_user"], backend["basic_auth_pass"]) == ("studio", "pass:word")


def test_a_changed_password_reaches_a_backend_that_is_connected_already(application, label_studio, project) -> None:
    steps_of(application(CLEANPLATE_BASIC_AUTH_USER="studio", CLEANPLATE_BASIC_AUTH_PASSWORD="first"), project)

    steps_of(application(CLEANPLATE_BASIC_AUTH_PASSWORD="second"), project)

    assert [backend["basic_auth_pass"] for backend in label_studio.backends.values()] == ["second"]


def test_a_given_labelling_config_becomes_the_project_s(application, label_studio) -> None:
    project = label_studio.add_project("<View/>")

    assert not failed(steps_of(application(), project, label_config=CONFIG))

    assert label_studio.projects[project]["label_config"] == CONFIG


def test_a_given_labelling_config_with_a_mistake_is_not_given(application, label_studio, project) -> None:
    problems = failed(steps_of(application(), project, label_config=WITH_A_MISTAKE))

    assert problems
    assert all("vanish" in problem.message for problem in problems)
    assert label_studio.projects[project]["label_config"] == CONFIG
    assert not label_studio.backends


def test_a_given_labelling_config_that_label_studio_refuses_is_not_given(application, label_studio, project) -> None:
    label_studio.trouble("POST", "/api/projects/validate/", status=400)

    with pytest.raises(LabelStudioRefusedError):
        steps_of(application(), project, label_config=CONFIG.replace("Face", "Plate"))

    assert label_studio.projects[project]["label_config"] == CONFIG
    assert not label_studio.backends


def test_a_mistake_in_the_config_that_the_project_has_is_said_after_connecting(application, label_studio) -> None:
    project = label_studio.add_project(WITH_A_MISTAKE)

    problems = failed(steps_of(application(), project))

    assert problems
    assert all("vanish" in problem.message for problem in problems)
    assert label_studio.backends


def test_a_project_with_local_files_is_told_where_its_copies_go(application, label_studio, project, tmp_path) -> None:
    root = tmp_path / "files"
    (root / "set1").mkdir(parents=True)
    label_studio.document_root = root
    made = application()
    made.client.create_local_storage(project, path=str(root / "set1"), title="photos", regex_filter=".*")

    *_, last = steps_of(made, project)

    assert last.outcome is Outcome.OK
    assert "CLEANPLATE_LOCAL_FILES_ROOT" in last.remedy
