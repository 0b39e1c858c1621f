import json

import pytest

from cleanplate.errors import PayloadError
from cleanplate.label_studio.payloads import (
    MAX_DEPTH,
    Annotation,
    PredictRequest,
    ResultItem,
    SetupRequest,
    Task,
    WebhookEvent,
    loads,
)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"{", "not JSON"),
        (b'{"a": 1} x', "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b"NaN", "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": 1e999}', "beyond all bounds"),
        (b'{"a": ' + b"9" * 100_000 + b"}", "whole number"),
        (b"[" * 200_000, "nested"),
        (b'{"a":' * 200_000, "nested"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'{"a": 1, "a": 2}', "same key twice"),
        (b'{"a": "\xff"}', "UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "UTF-8"),
        (b'{"a": "\x00"}', "not JSON"),
    ],
)
def test_what_is_not_strict_json_is_refused_with_the_reason(body, why) -> None:
    with pytest.raises(PayloadError, match=why):
        loads(body)


def test_json_errors_do_not_repeat_what_was_sent() -> None:
    with pytest.raises(PayloadError) as caught:
        loads(b'{"token": "secret-1234", broken}')

    assert "secret" not in str(caught.value)


def test_what_is_strict_json_is_read() -> None:
    body = (
        '{"text": "Straße \\ud83d\\ude00 [[[ \\" {{{", "list": [1, -2.5, true, null, {"a": []}], "big": 18446744073709}'
    )

    assert loads(body.encode()) == json.loads(body)


def test_json_may_be_nested_up_to_the_limit_and_no_deeper() -> None:
    assert loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(PayloadError, match="nested"):
        loads(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))


def test_brackets_beside_each_other_are_not_deep() -> None:
    assert len(loads(b"[" + b"[1,2]," * 5000 + b"[]]")) == 5001


def test_brackets_in_a_text_are_not_depth() -> None:
    text = "[{" * 5000 + '\\"' + "[" * 5000

    assert loads(f'["{text}"]'.encode())


@pytest.mark.parametrize("wrong", ["[]", '"x"', "null", "1", "true"])
def test_a_request_that_is_no_object_is_refused(wrong) -> None:
    with pytest.raises(PayloadError, match="must be a JSON object"):
        PredictRequest.from_json(wrong.encode())


@pytest.mark.parametrize("wrong", [-1, 0, 2**63, "1; drop", "7", True, 1.5, 1.0, None, [], {}])
def test_an_impossible_annotation_id_is_refused(wrong) -> None:
    with pytest.raises(PayloadError, match="annotation"):
        WebhookEvent.parse({"action": "ANNOTATION_CREATED", "annotation": {"id": wrong}})
    with pytest.raises(PayloadError, match="Annotation: id"):
        Annotation.parse({"id": wrong})


@pytest.mark.parametrize("wrong", [-1, 0, 2**63, "1; drop", True, 1.5])
def test_an_impossible_project_or_task_id_is_refused(wrong) -> None:
    with pytest.raises(PayloadError, match="project"):
        WebhookEvent.parse({"action": "ANNOTATION_CREATED", "project": {"id": wrong}})
    with pytest.raises(PayloadError, match="task"):
        WebhookEvent.parse({"action": "TASKS_DELETED", "tasks": [{"id": 1}, {"id": wrong}]})


def test_the_largest_id_is_an_id() -> None:
    assert Task.parse({"id": 2**63 - 1}).id == 2**63 - 1


def test_an_error_names_the_field_and_not_its_value() -> None:
    with pytest.raises(PayloadError) as caught:
        Task.parse({"id": 3, "annotations": [{"id": 1, "result": [{"original_width": "secret"}]}]})

    assert "annotations.0.result.0.original_width" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("project", "expected"),
    [("1.1795175793", 1), ("42", 42), (7, 7), (None, None), ("9223372036854775807.0", 2**63 - 1)],
)
def test_the_project_of_a_predict_request_is_the_number_before_the_dot(project, expected) -> None:
    request = PredictRequest.parse({"tasks": [{"id": 1}], "project": project})

    assert request.project_id == expected


@pytest.mark.parametrize(
    "project", ["", "x", "0.1", "-1.5", "1.2.3", " 1", "1; drop", "99999999999999999999.1", 1.5, True]
)
def test_a_project_that_is_none_is_refused(project) -> None:
    with pytest.raises(PayloadError, match="project"):
        PredictRequest.parse({"tasks": [], "project": project})


def test_a_task_that_is_only_opened_has_no_prompts() -> None:
    opened = PredictRequest.parse({"tasks": [{"id": 1}], "params": {"context": None, "login": None}})

    assert opened.prompts is None
    assert PredictRequest.parse({"tasks": []}).prompts is None


def test_a_click_has_prompts_even_if_the_last_one_was_deleted() -> None:
    clicked = PredictRequest.parse({"tasks": [{"id": 1}], "params": {"context": {"result": [{"id": "a"}]}}})
    emptied = PredictRequest.parse({"tasks": [{"id": 1}], "params": {"context": {"result": []}}})

    assert [item.id for item in clicked.prompts] == ["a"]
    assert emptied.prompts == ()


def test_setup_gives_the_config_but_not_the_token() -> None:
    setup = SetupRequest.parse(
        {"project": "1.2", "schema": "<View/>", "hostname": "http://h", "access_token": "t0ken", "extra_params": None}
    )

    assert (setup.project_id, setup.label_config, setup.hostname) == (1, "<View/>", "http://h")
    assert "t0ken" not in repr(setup)


def test_a_result_item_may_lack_almost_everything() -> None:
    relation = ResultItem.parse({"from_id": "a", "to_id": "b", "type": "relation", "direction": "right"})

    assert (relation.id, relation.from_name, relation.value) == ("", "", {})


def test_an_id_that_is_a_number_is_read_as_its_digits() -> None:
    assert ResultItem.parse({"id": 17}).id == "17"


@pytest.mark.parametrize(
    "wrong", [{"value": [1]}, {"original_width": "640"}, {"original_height": True}, {"id": True}, {"type": []}]
)
def test_a_result_item_of_the_wrong_shape_is_refused(wrong) -> None:
    with pytest.raises(PayloadError):
        ResultItem.parse(wrong)


def test_a_webhook_with_the_action_alone_names_nothing() -> None:
    event = WebhookEvent.parse({"action": "ANNOTATION_CREATED"})

    assert (event.project_id, event.task_ids, event.annotation_ids, event.is_known) == (None, (), (), True)


def test_an_unknown_action_is_read_and_known_to_be_unknown() -> None:
    assert not WebhookEvent.parse({"action": "LABEL_LINK_CREATED"}).is_known


@pytest.mark.parametrize("wrong", [None, "", 5, "A" * 65, ["A"]])
def test_an_action_that_is_none_is_refused(wrong) -> None:
    with pytest.raises(PayloadError, match="action"):
        WebhookEvent.parse({"action": wrong})


def test_lists_in_a_webhook_give_each_id_once() -> None:
    event = WebhookEvent.parse(
        {
            "action": "ANNOTATIONS_CREATED",
            "task": [{"id": 3, "project": 9}, {"id": 4, "project": 9}],
            "annotation": [{"id": 7, "task": 3}, {"id": 8, "task": 4}, {"id": 8, "task": 4}],
        }
    )

    assert event.project_id == 9
    assert event.task_ids == (3, 4)
    assert event.annotation_ids == (7, 8)


def test_an_annotation_alone_names_its_task_and_project() -> None:
    event = WebhookEvent.parse({"action": "ANNOTATION_UPDATED", "annotation": {"id": 1, "task": 2, "project": 3}})

    assert (event.project_id, event.task_ids, event.annotation_ids) == (3, (2,), (1,))


def test_times_keep_their_zone_and_a_time_without_one_is_refused() -> None:
    task = Task.parse({"id": 1, "updated_at": "2026-11-20T14:18:08.465090Z"})

    assert task.updated_at.isoformat() == "2026-11-20T14:18:08.465090+00:00"
    with pytest.raises(PayloadError, match="updated_at"):
        Task.parse({"id": 1, "updated_at": "2026-11-20T14:18:08"})
