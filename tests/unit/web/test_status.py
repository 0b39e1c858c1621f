from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient

from cleanplate.app.checks import Check, Outcome
from cleanplate.errors import PromptError
from cleanplate.jobs.job import JobState
from cleanplate.storage.ledger import CopyRecord


def test_the_page_shows_what_failed_why_and_what_to_do(client: FlaskClient, services, failed_job) -> None:
    services.by_state = {JobState.DEAD: [failed_job]}

    page = client.get("/status")

    assert page.mimetype == "text/html"
    assert "media_missing" in page.text
    assert "the image of task 14 answered 404" in page.text
    assert "bring it back, then retry the job" in page.text
    assert 'href="http://studio.example:8080/projects/3/data?task=14"' in page.text


def test_the_page_shows_a_failing_connection_with_its_remedy(client: FlaskClient, services) -> None:
    services.found = [Check("label studio", Outcome.FAILED, "refused", remedy="Start it.")]

    page = client.get("/status").text

    assert "needs attention" in page
    assert "Start it." in page


def test_the_page_says_so_when_all_is_well(client: FlaskClient) -> None:
    page = client.get("/status").text

    assert "all is well" in page
    assert "needs attention" not in page
    assert "graphcut-1" in page


def test_a_job_waiting_for_its_next_attempt_is_among_the_failures(client: FlaskClient, services, failed_job) -> None:
    waiting = replace(failed_job, state=JobState.READY, reason="label_studio_unreachable", attempt=2)
    fresh = replace(
        failed_job, state=JobState.READY, reason="", message="", subject=replace(failed_job.subject, task_id=99)
    )
    services.by_state = {JobState.READY: [fresh, waiting]}

    page = client.get("/status").text

    assert "will be retried, attempt 2" in page
    assert "task 99" not in page


def test_the_newest_failures_come_first_and_ten_are_enough(client: FlaskClient, services, failed_job) -> None:
    jobs = [
        replace(
            failed_job,
            subject=replace(failed_job.subject, task_id=100 + number),
            updated_at=failed_job.updated_at + timedelta(minutes=number),
        )
        for number in range(12)
    ]
    services.by_state = {JobState.DEAD: jobs[::-1][:6], JobState.ATTENTION: jobs[::-1][6:]}

    page = client.get("/status").text

    shown = [number for number in range(12) if f"task {100 + number}," in page]
    assert shown == list(range(2, 12))
    assert page.index("task 111,") < page.index("task 102,")


def test_a_click_that_got_no_mask_is_shown_because_label_studio_shows_nothing(client, services, click) -> None:
    services.error = PromptError("the click lies beside the image")
    answer = client.post("/predict", json=click)

    page = client.get("/status").text

    assert "bad_prompt" in page
    assert "the click lies beside the image" in page
    assert "Click or draw on the object itself" in page
    assert answer.headers["X-Request-Id"] in page


def test_a_click_that_failed_for_an_unknown_reason_shows_where_to_look(client, services, click) -> None:
    services.error = ZeroDivisionError("hush")
    client.post("/predict", json=click)

    page = client.get("/status").text

    assert "internal" in page
    assert "the log has it under this request id" in page
    assert "hush" not in page


def test_only_the_last_failed_clicks_are_kept(client, services, click) -> None:
    for number in range(12):
        services.error = PromptError(f"<number {number}>")
        client.post("/predict", json=click)

    page = client.get("/status").text

    assert [number for number in range(12) if f"number {number}&gt;" in page] == list(range(2, 12))
    assert page.index("number 11&gt;") < page.index("number 2&gt;")


def test_what_happened_to_clicks_is_summed_up_without_what_did_not_happen(client) -> None:
    page = " ".join(client.get("/status").text.split())

    assert "answered 12, superseded 3." in page
    assert "warmed" not in page


def test_a_warning_shows_its_remedy_and_is_no_reason_for_alarm(client: FlaskClient, services) -> None:
    services.found = [Check("data directory", Outcome.WARNING, "only 0.2 GiB free", "Make room on that disk.")]

    page = client.get("/status").text

    assert "Make room on that disk." in page
    assert "all is well" in page


def record_to_look_at(number: int, *reasons: str) -> CopyRecord:
    url = "http://studio.example:8080"
    return CopyRecord(f"{number}", url, 3, 14, 15, "k1", number, "x.png", "/x.png", "00", 1, second_look=reasons)


def test_copies_to_look_at_again_are_counted_and_listed_with_why_and_where(client: FlaskClient, services) -> None:
    services.to_look_at = [record_to_look_at(60 + number, f"why <{number}>", "and why else") for number in range(12)]

    page = client.get("/status").text

    assert "Copies to look at again · 12" in page
    assert 'href="http://studio.example:8080/projects/3/data?task=60"' in page
    assert [number for number in range(12) if f"why &lt;{number}&gt;" in page] == list(range(10))
    assert "and why else" in page
    assert "second-look accept" in page


def test_without_copies_to_look_at_nothing_is_asked_for(client: FlaskClient) -> None:
    page = client.get("/status").text

    assert "Copies to look at again" in page
    assert "second-look accept" not in page


def test_nothing_on_the_page_is_taken_for_markup(client: FlaskClient, services, failed_job) -> None:
    nasty = "<script>alert(1)</script>\"'"
    services.by_state = {JobState.DEAD: [replace(failed_job, message=nasty, reason=nasty)]}
    services.found = [Check(nasty, Outcome.FAILED, nasty, remedy=nasty)]

    page = client.get("/status").text

    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_style_is_allowed_by_its_nonce_and_by_nothing_else(client: FlaskClient) -> None:
    first, second = client.get("/status"), client.get("/status")

    nonce = first.headers["Content-Security-Policy"].partition("'nonce-")[2].partition("'")[0]
    assert f'<style nonce="{nonce}">' in first.text
    assert nonce not in second.text
    assert "http" not in first.text.replace("http-equiv", "")


def test_the_page_asks_for_the_password(guarded_client: FlaskClient, credentials) -> None:
    refused = guarded_client.get("/status")

    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic ")
    assert guarded_client.get("/status", headers=credentials).status_code == 200


@pytest.mark.parametrize(
    ("age", "shown"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=80), "just now"),
        (timedelta(minutes=5), "5 min ago"),
        (timedelta(minutes=119), "119 min ago"),
        (timedelta(hours=3), "3 h ago"),
        (timedelta(hours=47), "47 h ago"),
        (timedelta(days=3), "3 d ago"),
    ],
)
def test_ages_are_shown_in_the_unit_people_use(client, services, failed_job, age, shown) -> None:
    services.by_state = {JobState.DONE: [replace(failed_job, updated_at=datetime.now(UTC) - age)]}

    assert f">{shown}</time>" in client.get("/status").text
