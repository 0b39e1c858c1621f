import json
from datetime import UTC, datetime, timedelta

import pytest

from cleanplate.cli import jobs as jobs_commands
from cleanplate.jobs.job import JobState, NewJob, Subject
from cleanplate.jobs.sqlite import SqliteQueue


@pytest.fixture
def queue(tmp_path):
    (tmp_path / "data").mkdir()
    return SqliteQueue(tmp_path / "data" / "jobs.sqlite3", lease_s=60, max_attempts=5)


def put(queue, key, *, project_id=1, annotation_id=None) -> str:
    annotation_id = annotation_id or int(key[0], 16) + 1
    queue.put(NewJob(key * 32, Subject("http://localhost:8080", project_id, 2, annotation_id)))
    return key * 32


def end(queue, state, *, reason="bad_image", message="it is broken"):
    queue.end(queue.claim("a worker"), state, reason=reason, message=message)


def test_without_jobs_the_list_says_how_to_get_one(cleanplate) -> None:
    answer = cleanplate("jobs", "list")

    assert answer.exit_code == 0
    assert "No jobs yet" in answer.stdout


def test_the_list_shows_counts_and_a_line_for_each_job(cleanplate, queue) -> None:
    dead = put(queue, "ab")
    end(queue, JobState.DEAD)
    ready = put(queue, "cd", project_id=7)

    counts, headings, first, second = cleanplate("jobs", "list").stdout.splitlines()

    assert counts.split() == ["ready", "1", "dead", "1"]
    assert headings.split()[:4] == ["job", "state", "project", "task"]
    assert first.split()[:4] == [ready[:12], "ready", "7", "2"]
    assert second.split()[:2] == [dead[:12], "dead"]
    assert second.rstrip().endswith("bad_image")


def test_the_list_can_be_of_one_state_or_one_project(cleanplate, queue) -> None:
    dead = put(queue, "ab")
    end(queue, JobState.DEAD)
    ready = put(queue, "cd", project_id=7)

    def listed(*options):
        return [job["key"] for job in json.loads(cleanplate("jobs", "list", "--json", *options).stdout)["jobs"]]

    assert listed() == [ready, dead]
    assert listed("--state", "dead") == [dead]
    assert listed("--project", "7") == [ready]
    assert listed("--limit", "1") == [ready]


def test_a_filter_that_leaves_nothing_says_so_beside_the_counts(cleanplate, queue) -> None:
    put(queue, "ab")

    answer = cleanplate("jobs", "list", "--state", "dead")

    assert answer.stdout.splitlines()[0].split() == ["ready", "1"]
    assert "None of them" in answer.stdout


def test_a_state_that_there_is_not_is_wrong_use(cleanplate) -> None:
    answer = cleanplate("jobs", "list", "--state", "lost")

    assert answer.exit_code == 2
    assert "'superseded'" in answer.stderr


def test_a_job_is_shown_by_how_its_key_begins_with_all_there_is_to_know(cleanplate, queue) -> None:
    key = put(queue, "ab")
    end(queue, JobState.DEAD, message="a [bold] reason")
    put(queue, "ac", annotation_id=99)

    shown = cleanplate("jobs", "show", "ab").stdout

    assert key in shown
    assert "a [bold] reason" in shown
    assert "bad_image" in shown


def test_the_result_of_a_job_is_shown_line_by_line(cleanplate, queue) -> None:
    put(queue, "ab")
    queue.done(queue.claim("a worker"), {"copy_task": 42})

    assert ["result:", "copy_task", "42"] in [
        line.split() for line in cleanplate("jobs", "show", "ab").stdout.split("\n")
    ]


@pytest.mark.parametrize("key", ["a", "ff", "%", "[x]"])
def test_a_beginning_of_no_job_or_of_several_is_refused(cleanplate, queue, key) -> None:
    put(queue, "ab")
    put(queue, "ac", annotation_id=99)

    answer = cleanplate("jobs", "show", key)

    assert answer.exit_code == 1
    assert f"'{key}'" in answer.stderr


def test_the_json_of_a_missing_job_is_an_error_with_its_reason(cleanplate) -> None:
    answer = cleanplate("jobs", "show", "ff", "--json")

    assert answer.exit_code == 1
    assert json.loads(answer.stdout)["error"]["reason"] == "job"


def test_an_ended_job_is_started_again(cleanplate, queue) -> None:
    key = put(queue, "ab")
    end(queue, JobState.DEAD)

    answer = cleanplate("jobs", "retry", "ab")

    assert answer.exit_code == 0
    assert key[:12] in answer.stdout
    assert (queue.get(key).state, queue.get(key).reason) == (JobState.READY, "")


def test_a_job_that_has_not_ended_is_not_started_again(cleanplate, queue) -> None:
    put(queue, "ab")

    answer = cleanplate("jobs", "retry", "ab")

    assert answer.exit_code == 1
    assert "ready already" in answer.stderr


def test_all_dead_jobs_can_be_started_again_and_only_those(cleanplate, queue) -> None:
    dead = [put(queue, key) for key in ("ab", "bc")]
    for _ in dead:
        end(queue, JobState.DEAD)
    put(queue, "cd")
    end(queue, JobState.ATTENTION)

    started = json.loads(cleanplate("jobs", "retry", "--all-dead", "--json").stdout)

    assert {job["key"] for job in started} == set(dead)
    assert queue.counts()[JobState.READY] == 2
    assert queue.counts()[JobState.ATTENTION] == 1


def test_one_dead_job_that_cannot_be_started_does_not_keep_the_others(cleanplate, queue, monkeypatch) -> None:
    first, second = put(queue, "ab"), put(queue, "bc")
    for _ in range(2):
        end(queue, JobState.DEAD)
    real = queue.jobs
    listed = real(state=JobState.DEAD)
    queue.retry(first)
    monkeypatch.setattr(jobs_commands, "_queue", lambda: queue)
    monkeypatch.setattr(queue, "jobs", lambda **_options: listed)

    answer = cleanplate("jobs", "retry", "--all-dead", "--json")

    assert [job["key"] for job in json.loads(answer.stdout)] == [second]


def test_no_dead_job_is_not_a_failure(cleanplate) -> None:
    answer = cleanplate("jobs", "retry", "--all-dead")

    assert answer.exit_code == 0
    assert "No job is dead" in answer.stdout


@pytest.mark.parametrize("arguments", [(), ("ab", "--all-dead")])
def test_retry_wants_one_job_or_all_dead_ones(cleanplate, arguments) -> None:
    answer = cleanplate("jobs", "retry", *arguments)

    assert answer.exit_code == 2
    assert "--all-dead" in answer.stderr


def test_a_queue_that_is_none_ends_with_a_sentence(cleanplate, tmp_path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "jobs.sqlite3").write_bytes(b"this is no database, and never was " * 100)

    answer = cleanplate("jobs", "list")

    assert answer.exit_code == 1
    assert "jobs.sqlite3" in answer.stderr


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(seconds=-5), "0 s ago"),
        (timedelta(seconds=59), "59 s ago"),
        (timedelta(minutes=59, seconds=59), "59 min ago"),
        (timedelta(hours=23, minutes=59), "23 h ago"),
        (timedelta(days=3), "3 d ago"),
    ],
)
def test_ages_are_told_in_the_largest_unit_that_they_fill(age, words) -> None:
    assert jobs_commands._ago(datetime.now(UTC) - age) == words
