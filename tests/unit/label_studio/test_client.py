import json
import socket
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from cleanplate.errors import (
    LabelStudioAuthError,
    LabelStudioRefusedError,
    LabelStudioUnreachableError,
    PayloadError,
)
from cleanplate.label_studio.client import LabelStudioClient, retry_after_s

TOKEN = "0123456789abcdef0123456789abcdef01234567"
WHOAMI = "/api/current-user/whoami"


@pytest.fixture
def client(server) -> LabelStudioClient:
    return LabelStudioClient(server.url + "/", TOKEN, retries=0)


def task(task_id: int, **fields: object) -> dict:
    return {"id": task_id, "project": 1, "data": {"image": "/data/upload/1/a.png"}, **fields}


def page(*tasks: dict, total: int | None = None) -> dict:
    return {"tasks": list(tasks), "total": len(tasks) if total is None else total}


def filters_of(asked) -> list[tuple[str, str, object]]:
    query = json.loads(asked.query["query"][0])
    assert query["ordering"] == ["tasks:id"]
    return [(part["filter"], part["operator"], part["value"]) for part in query["filters"]["items"]]


# Tokens


def test_a_legacy_token_is_sent_with_every_call(server, client) -> None:
    server.on("GET", WHOAMI, 200, {"id": 1, "email": "a@example.com"})

    assert client.whoami().email == "a@example.com"
    assert server.asked[0].headers["Authorization"] == f"Token {TOKEN}"
    assert not client.uses_personal_token


def test_a_personal_token_is_exchanged_before_the_first_call(server) -> None:
    server.on("POST", "/api/token/refresh", 200, {"access": "acc.ess.token"})
    server.on("GET", WHOAMI, 200, {"id": 1})
    client = LabelStudioClient(server.url, "head.body.signature", retries=0)

    client.whoami()
    client.whoami()

    assert [asked.path for asked in server.asked] == ["/api/token/refresh", WHOAMI, WHOAMI]
    assert server.asked[0].json == {"refresh": "head.body.signature"}
    assert server.asked[2].headers["Authorization"] == "Bearer acc.ess.token"
    assert "Authorization" not in server.asked[0].headers


def test_a_refused_access_token_is_renewed_once(server) -> None:
    server.on("POST", "/api/token/refresh", 200, {"access": "acc.ess.one"})
    server.on("POST", "/api/token/refresh", 200, {"access": "acc.ess.two"})
    server.on("GET", WHOAMI, 401, {"detail": "Token is expired"})
    server.on("GET", WHOAMI, 200, {"id": 1})
    client = LabelStudioClient(server.url, "head.body.signature", retries=0)

    assert client.whoami().id == 1
    assert server.asked[-1].headers["Authorization"] == "Bearer acc.ess.two"


def test_an_access_token_that_stays_refused_is_an_error_and_no_endless_loop(server) -> None:
    server.on("POST", "/api/token/refresh", 200, {"access": "acc.ess.token"})
    server.on("GET", WHOAMI, 401, {"detail": "User is inactive"})
    client = LabelStudioClient(server.url, "head.body.signature", retries=0)

    with pytest.raises(LabelStudioAuthError, match="User is inactive"):
        client.whoami()
    assert len(server.asked) == 4


def test_a_personal_token_that_is_refused_is_an_auth_error(server) -> None:
    server.on("POST", "/api/token/refresh", 401, {"detail": "Token is invalid"})

    with pytest.raises(LabelStudioAuthError, match="/api/token/refresh answered 401: Token is invalid"):
        LabelStudioClient(server.url, "head.body.signature", retries=0).whoami()


def test_an_exchange_without_an_access_token_is_a_bad_answer(server) -> None:
    server.on("POST", "/api/token/refresh", 200, {"token": "x"})

    with pytest.raises(PayloadError, match="no access token"):
        LabelStudioClient(server.url, "head.body.signature", retries=0).whoami()


def test_cookies_and_proxies_are_left_alone(server, client, monkeypatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server.on("GET", WHOAMI, 200, {"id": 1}, Set_Cookie="sessionid=abc; Path=/")

    client.whoami()
    client.whoami()

    assert "Cookie" not in server.asked[1].headers


# Errors


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
def test_trouble_on_the_other_side_is_transient(server, client, status) -> None:
    server.on("GET", WHOAMI, status, {"detail": "trouble"}, Retry_After="7")

    with pytest.raises(LabelStudioUnreachableError, match=f"answered {status}: trouble") as caught:
        client.whoami()
    assert caught.value.transient
    assert caught.value.retry_after_s == 7


def test_a_refused_token_is_an_auth_error(server, client) -> None:
    server.on("GET", WHOAMI, 401, {"detail": "Invalid token."})

    with pytest.raises(LabelStudioAuthError) as caught:
        client.whoami()
    assert (caught.value.status, caught.value.transient) == (401, True)


@pytest.mark.parametrize(
    ("detail", "error"),
    [
        ("Given token not valid for any token type", LabelStudioAuthError),
        ("You do not have permission to perform this action.", LabelStudioRefusedError),
    ],
)
def test_a_403_is_about_the_token_only_if_it_says_so(server, client, detail, error) -> None:
    server.on("GET", WHOAMI, 403, {"detail": detail})

    with pytest.raises(LabelStudioRefusedError) as caught:
        client.whoami()
    assert type(caught.value) is error


def test_what_label_studio_finds_wrong_is_in_the_message(server, client) -> None:
    errors = {"validation_errors": {"label_config": ['toName="zz" not found'], "title": ["too <b>short</b>"]}}
    server.on("POST", "/api/projects/validate/", 400, {"detail": "Validation error", **errors})

    with pytest.raises(LabelStudioRefusedError) as caught:
        client.validate_config("<View/>")
    assert str(caught.value) == 'POST /api/projects/validate/ answered 400: toName="zz" not found; too short'
    assert (caught.value.status, caught.value.transient) == (400, False)


def test_no_token_and_no_query_gets_into_a_message(server, client) -> None:
    jwt = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0b2tlbl90eXBlIjoi.c2lnbmF0dXJlMTIz"
    detail = f"bad {TOKEN} and {jwt} at https://bucket.example/a.png?X-Signature=s3cret&b=1 " + "x" * 1000
    server.on("GET", WHOAMI, 400, {"detail": detail})

    with pytest.raises(LabelStudioRefusedError) as caught:
        client.whoami()
    message = str(caught.value)
    assert TOKEN not in message
    assert jwt not in message
    assert "s3cret" not in message
    assert len(message) < 400


def test_a_server_that_is_not_there_is_transient_and_named_without_its_path() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(LabelStudioUnreachableError, match="did not answer") as caught:
            LabelStudioClient(url, TOKEN, retries=0).annotation(5)

    assert url in str(caught.value)
    assert "/api/" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_read_is_tried_again_when_the_server_has_a_hiccup(server) -> None:
    server.on("GET", WHOAMI, 502)
    server.on("GET", WHOAMI, 200, {"id": 1})

    assert LabelStudioClient(server.url, TOKEN, retries=1).whoami().id == 1


def test_a_write_is_never_tried_again_by_itself(server) -> None:
    server.on("POST", "/api/tasks/", 502)

    with pytest.raises(LabelStudioUnreachableError):
        LabelStudioClient(server.url, TOKEN, retries=2).create_task(1, {}, meta={})
    assert len(server.asked) == 1


def test_a_redirect_is_not_followed_but_explained(server, client) -> None:
    server.on("GET", WHOAMI, 301, Location="https://other.example/login?next=secret")

    with pytest.raises(LabelStudioRefusedError, match=r"redirected to https://other\.example: set LABEL_STUDIO_URL"):
        client.whoami()
    assert len(server.asked) == 1


def test_a_login_page_instead_of_json_is_an_auth_error(server, client) -> None:
    server.on("GET", WHOAMI, 200, b"<html>please log in</html>", Content_Type="text/html")

    with pytest.raises(LabelStudioAuthError, match="web page instead of JSON"):
        client.whoami()


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"id": "1"}', b'{"id": NaN}'])
def test_an_answer_that_makes_no_sense_is_a_payload_error(server, client, body) -> None:
    server.on("GET", WHOAMI, 200, body, Content_Type="application/json")

    with pytest.raises(PayloadError):
        client.whoami()


def test_an_answer_that_breaks_off_is_transient(server, client) -> None:
    server.on("GET", WHOAMI, 200, b'{"id":', Content_Type="application/json", Content_Length="500", Connection="close")

    with pytest.raises(LabelStudioUnreachableError, match="broke off"):
        client.whoami()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("", None), ("3", 3), ("99999999", 3600), ("-5", None), ("soon", None), ("²", None)],
)
def test_a_retry_after_header_is_read_and_bounded(header, seconds) -> None:
    assert retry_after_s(header) == seconds


def test_a_retry_after_header_may_be_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=100), usegmt=True)

    assert 90 <= retry_after_s(soon) <= 100
    assert retry_after_s(past) == 0


# Tasks


def test_tasks_are_paged_by_id_so_that_none_is_skipped_when_others_change(server, client) -> None:
    server.on("GET", "/api/tasks", 200, page(task(3), task(5), total=3))
    server.on("GET", "/api/tasks", 200, page(task(9)))

    assert [found.id for found in client.tasks(1)] == [3, 5, 9]
    assert [filters_of(asked) for asked in server.asked] == [
        [("filter:tasks:id", "greater", 0)],
        [("filter:tasks:id", "greater", 5)],
    ]
    assert server.asked[0].query["fields"] == ["all"]
    assert server.asked[0].query["resolve_uri"] == ["false"]


def test_only_tasks_changed_since_are_asked_for_in_the_notation_of_the_filter(server, client) -> None:
    server.on("GET", "/api/tasks", 200, page())
    since = datetime(2026, 11, 20, 15, 30, 0, 250, tzinfo=timezone(timedelta(hours=1)))

    assert list(client.tasks(1, updated_since=since)) == []
    assert filters_of(server.asked[0])[1] == ("filter:tasks:updated_at", "greater", "2026-11-20T14:30:00.000250Z")


def test_a_task_that_cannot_be_read_does_not_hide_the_others(server, client) -> None:
    broken = task(4, annotations=[{"id": 1, "result": "no list"}])
    server.on("GET", "/api/tasks", 200, page(task(3), broken, task(5), {"no": "id"}, "x"))

    assert [found.id for found in client.tasks(1)] == [3, 5]


@pytest.mark.parametrize("spoilt", [10**60, json.loads("[" * 120 + "]" * 120)], ids=["number", "nesting"])
def test_a_task_whose_data_spoils_its_page_does_not_hide_the_others(server, client, spoilt) -> None:
    bad = task(4, data={"weird": spoilt})
    server.on("GET", "/api/tasks", 200, page(task(3), bad, total=3))
    server.on("GET", "/api/tasks", 200, page({"id": 3}, {"id": 4}, total=3))
    server.on("GET", "/api/tasks", 200, page(task(3, annotations=[{"id": 1}])))
    server.on("GET", "/api/tasks", 200, page(bad))
    server.on("GET", "/api/tasks", 200, page(task(5)))

    assert [(found.id, len(found.annotations)) for found in client.tasks(1)] == [(3, 1), (5, 0)]
    assert server.asked[1].query["include"] == ["id"]
    assert [filters_of(asked)[0][1:] for asked in server.asked] == [
        ("greater", 0),
        ("greater", 0),
        ("equal", 3),
        ("equal", 4),
        ("greater", 4),
    ]


def test_pages_of_nothing_but_unreadable_tasks_end(server, client) -> None:
    server.on("GET", "/api/tasks", 200, page("x", total=10))

    assert list(client.tasks(1)) == []
    assert len(server.asked) == 1


@pytest.mark.parametrize("answer", [[], {}, {"tasks": {}}, {"tasks": []}, {"tasks": [], "total": "3"}])
def test_a_task_list_of_the_wrong_shape_is_a_payload_error(server, client, answer) -> None:
    server.on("GET", "/api/tasks", 200, answer)

    with pytest.raises(PayloadError):
        list(client.tasks(1))


def test_one_task_is_asked_for_without_its_own_address(server, client) -> None:
    server.on("GET", "/api/tasks", 200, page(task(7, annotations=[{"id": 2, "task": 7}])))
    server.on("GET", "/api/tasks", 200, page())

    assert client.task(1, 7).annotations[0].id == 2
    assert client.task(1, 8) is None
    assert filters_of(server.asked[0]) == [("filter:tasks:id", "equal", 7)]
    assert server.asked[0].query["project"] == ["1"]


def test_copies_are_found_by_their_id_and_nothing_like_it(server, client) -> None:
    mine, similar = task(7, data={"cleanplate": "c1"}), task(8, data={"cleanplate": "C1"})
    server.on("GET", "/api/tasks", 200, page(mine, similar))

    assert [found.id for found in client.copies(1, "c1")] == [7]
    assert filters_of(server.asked[0]) == [("filter:tasks:data.cleanplate", "equal", "c1")]


def test_a_task_is_made_changed_and_deleted(server, client) -> None:
    server.on("POST", "/api/tasks/", 201, task(7))
    server.on("PATCH", "/api/tasks/7/", 200, task(7))
    server.on("DELETE", "/api/tasks/7/", 204)

    client.create_task(1, {"image": "a", "cleanplate": "c"}, meta={"cleanplate": {"synthetic": False}})
    client.update_task(7, {"image": "b"}, meta={})

    assert client.delete_task(7)
    assert not client.delete_task(8)
    data, meta = {"image": "a", "cleanplate": "c"}, {"cleanplate": {"synthetic": False}}
    assert server.asked[0].json == {"project": 1, "data": data, "meta": meta}
    assert server.asked[1].json == {"data": {"image": "b"}, "meta": {}}


def test_an_annotation_that_is_gone_is_none(server, client) -> None:
    server.on("GET", "/api/annotations/3/", 200, {"id": 3, "task": 7, "result": []})

    assert client.annotation(3).task == 7
    assert client.annotation(4) is None


def test_annotations_of_copies_are_made_changed_and_deleted(server, client) -> None:
    server.on("POST", "/api/tasks/7/annotations/", 201, {"id": 3})
    server.on("PATCH", "/api/annotations/3/", 200, {"id": 3})
    server.on("DELETE", "/api/annotations/3/", 204)

    assert client.create_annotation(7, [{"id": "a"}]).id == 3
    assert client.update_annotation(3, []).id == 3
    assert client.delete_annotation(3)
    assert not client.delete_annotation(4)
    assert [asked.body and asked.json for asked in server.asked[:2]] == [{"result": [{"id": "a"}]}, {"result": []}]


# Projects and files


def test_projects_are_listed_to_the_last_page(server, client) -> None:
    server.on("GET", "/api/projects", 200, {"results": [{"id": 1, "title": "a"}], "next": "http://x/?page=2"})
    server.on("GET", "/api/projects", 200, {"results": [{"id": 2, "label_config": "<View/>"}], "next": None})

    assert [(project.id, project.label_config) for project in client.projects()] == [(1, ""), (2, "<View/>")]
    assert [asked.query["page"] for asked in server.asked] == [["1"], ["2"]]


def test_a_project_that_is_not_visible_is_none(client) -> None:
    assert client.project(9) is None


def test_only_what_changes_is_sent_when_a_project_changes(server, client) -> None:
    server.on("PATCH", "/api/projects/1", 200, {"id": 1})

    client.update_project(1, show_predictions=False)

    assert server.asked[0].json == {"show_collab_predictions": False}


def test_a_file_is_uploaded_without_becoming_a_task(server, client) -> None:
    server.on("POST", "/api/projects/1/import", 201, {"file_upload_ids": [31]})
    server.on("GET", "/api/import/file-upload/31", 200, {"id": 31, "file": "upload/1/89a18cc7-x.png"})

    upload = client.upload(1, name="x.png", content=b"\x89PNG", media_type="image/png")

    assert upload.file == "upload/1/89a18cc7-x.png"
    assert server.asked[0].query == {"commit_to_project": ["false"]}
    assert b'filename="x.png"' in server.asked[0].body
    assert b"\x89PNG" in server.asked[0].body


def test_an_upload_that_makes_no_file_or_two_is_a_payload_error(server, client) -> None:
    server.on("POST", "/api/projects/1/import", 201, {"file_upload_ids": []})

    with pytest.raises(PayloadError, match="0 uploads"):
        client.upload(1, name="x.png", content=b"", media_type="image/png")


def test_uploads_are_listed_and_deleted_one_by_one(server, client) -> None:
    server.on("GET", "/api/projects/1/file-uploads", 200, [{"id": 31, "file": "upload/1/a-x.png"}])
    server.on("DELETE", "/api/import/file-upload/31", 204)

    assert [upload.id for upload in client.uploads(1)] == [31]
    assert client.delete_upload(31)
    assert not client.delete_upload(32)


# What connects a project


def test_an_ml_backend_is_made_interactive_with_basic_auth(server, client) -> None:
    server.on("POST", "/api/ml", 201, {"id": 4, "url": "http://b", "state": "CO", "is_interactive": True})

    backend = client.create_ml_backend(1, url="http://b", title="cleanplate", user="u", password="p")

    assert (backend.id, backend.state, backend.is_interactive) == (4, "CO", True)
    assert server.asked[0].json == {
        "project": 1,
        "url": "http://b",
        "title": "cleanplate",
        "is_interactive": True,
        "auth_method": "BASIC_AUTH",
        "basic_auth_user": "u",
        "basic_auth_pass": "p",
    }


def test_an_ml_backend_is_changed_with_all_its_fields(server, client) -> None:
    server.on("PATCH", "/api/ml/4", 200, {"id": 4})

    client.update_ml_backend(4, 1, url="http://b", title="cleanplate")

    assert server.asked[0].json == {
        "project": 1,
        "url": "http://b",
        "title": "cleanplate",
        "is_interactive": True,
        "auth_method": "NONE",
    }


def test_backends_and_webhooks_are_listed_the_oldest_first(server, client) -> None:
    server.on("GET", "/api/ml", 200, [{"id": 4}, {"id": 2}])
    server.on("GET", "/api/webhooks/", 200, [{"id": 9}, {"id": 5, "headers": {"X-Cleanplate-Secret": "s3cret"}}])

    assert [backend.id for backend in client.ml_backends(1)] == [2, 4]
    webhooks = client.webhooks(1)
    assert [webhook.id for webhook in webhooks] == [5, 9]
    assert "s3cret" not in repr(webhooks)


def test_a_webhook_is_made_and_changed_with_its_secret_and_its_actions(server, client) -> None:
    server.on("POST", "/api/webhooks/", 201, {"id": 5})
    server.on("PATCH", "/api/webhooks/5/", 200, {"id": 5})
    secret = {"X-Cleanplate-Secret": "s"}

    client.create_webhook(1, url="http://b/webhook", actions=["ANNOTATION_CREATED"], headers=secret)
    client.update_webhook(5, url="http://b/webhook", actions=["ANNOTATION_CREATED"], headers=secret)

    body = {
        "url": "http://b/webhook",
        "send_payload": True,
        "send_for_all_actions": False,
        "is_active": True,
        "actions": ["ANNOTATION_CREATED"],
        "headers": secret,
    }
    assert server.asked[0].json == body | {"project": 1}
    assert server.asked[1].json == body


BLOCKED = {"detail": "URL resolves to a reserved network address (block: 127.0.0.0/8)"}


@pytest.mark.parametrize(("status", "answer", "refused"), [(403, BLOCKED, True), (400, {"detail": "x"}, False)])
def test_label_studio_says_whether_it_blocks_an_address(server, client, status, answer, refused) -> None:
    server.on("POST", "/api/ml", status, answer)
    server.on("POST", "/api/webhooks/", status, answer)

    assert client.refuses_ml_backend("http://127.0.0.1:9090") is refused
    assert client.refuses_webhook("http://127.0.0.1:9090/webhook") is refused


def test_another_refusal_does_not_tell_whether_an_address_is_blocked(server, client) -> None:
    server.on("POST", "/api/ml", 403, {"detail": "You do not have permission to perform this action."})
    server.on("POST", "/api/webhooks/", 201, {"id": 1})

    with pytest.raises(LabelStudioRefusedError, match="permission"):
        client.refuses_ml_backend("http://127.0.0.1:9090")
    with pytest.raises(PayloadError, match="accepted what it cannot"):
        client.refuses_webhook("http://127.0.0.1:9090/webhook")


def test_local_storages_are_listed_and_made(server, client) -> None:
    server.on("GET", "/api/storages/localfiles", 200, [{"id": 1, "path": "/files/a"}])
    server.on("POST", "/api/storages/localfiles", 201, {"id": 2, "path": "/files/b"})

    assert client.local_storages(1)[0].path == "/files/a"
    assert client.create_local_storage(1, path="/files/b", title="copies", regex_filter="(?!)").id == 2
    asked = {"project": 1, "path": "/files/b", "title": "copies", "regex_filter": "(?!)", "use_blob_urls": True}
    assert server.asked[1].json == asked


def test_the_version_and_the_legacy_token_are_read(server, client) -> None:
    server.on("GET", "/api/version", 200, {"release": "1.23.2"})
    server.on("GET", "/api/current-user/token", 200, {"token": TOKEN})

    assert client.version() == "1.23.2"
    assert client.legacy_token() == TOKEN


def test_label_studio_may_live_below_a_path(server) -> None:
    server.on("GET", "/studio/api/version", 200, {"release": "1.23.2"})

    assert LabelStudioClient(f"{server.url}/studio", TOKEN, retries=0).version() == "1.23.2"


# Predictions


def test_a_prediction_is_written_with_its_version_and_its_score(server, client) -> None:
    server.on("POST", "/api/predictions/", 201, {"id": 8, "task": 5, "model_version": "sam", "score": 0.5})

    made = client.create_prediction(5, [{"id": "a"}], model_version="sam", score=0.5)

    assert (made.id, made.model_version) == (8, "sam")
    assert server.asked[0].json == {"task": 5, "result": [{"id": "a"}], "model_version": "sam", "score": 0.5}


@pytest.mark.parametrize(("status", "was_there"), [(204, True), (404, False)])
def test_deleting_a_prediction_tells_whether_there_was_one(server, client, status: int, was_there: bool) -> None:  # noqa: FBT001
    server.on("DELETE", "/api/predictions/8/", status, None)

    assert client.delete_prediction(8) is was_there


def test_tasks_come_with_the_predictions_they_have(server, client) -> None:
    predictions = [{"id": 8, "model_version": None, "result": [{}], "score": 0.1}, {"id": 9, "model_version": "sam"}]
    server.on("GET", "/api/tasks", 200, page(task(1, predictions=predictions), task(2, predictions=[17])))

    first, second = client.tasks(1)

    assert [(prediction.id, prediction.model_version) for prediction in first.predictions] == [(8, ""), (9, "sam")]
    assert second.predictions == ()


def test_the_tasks_of_a_project_are_counted_without_fetching_them(server, client) -> None:
    server.on("GET", "/api/tasks", 200, page({"id": 1}, total=4711))

    assert client.task_count(1) == 4711
    assert server.asked[0].query["include"] == ["id"]


def test_the_tasks_after_one_are_few_and_those_that_cannot_be_read_are_left_out(server, client) -> None:
    server.on("GET", "/api/tasks", 200, page({"id": 8, "data": {}}, {"id": 9, "data": "no data"}, total=4711))

    assert [task.id for task in client.tasks_after(1, 7, count=2)] == [8]
    query = server.asked[0].query
    assert query["page_size"] == ["2"]
    assert json.loads(query["query"][0])["filters"]["items"] == [
        {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": 7}
    ]
