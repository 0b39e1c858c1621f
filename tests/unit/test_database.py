import os
import sqlite3
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cleanplate import database as module
from cleanplate.database import Database
from cleanplate.errors import StorageError, StorageUnavailableError

FIRST = ("CREATE TABLE notes (words TEXT NOT NULL)",)
SECOND = ("ALTER TABLE notes ADD COLUMN author TEXT NOT NULL DEFAULT 'nobody'",)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "notes.sqlite3"


def write(database: Database, words: str) -> None:
    with database.writing() as db:
        db.execute("INSERT INTO notes (words) VALUES (?)", (words,))


def read(database: Database) -> list[str]:
    with database.reading() as db:
        return [row["words"] for row in db.execute("SELECT words FROM notes ORDER BY words")]


def fork(work: Callable[[], None]) -> int:
    child = os.fork()
    if child != 0:
        return child
    try:
        work()
        os._exit(0)
    finally:
        os._exit(1)


def exit_code(child: int) -> int:
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def test_what_was_written_is_read_by_another_that_opens_the_file(path) -> None:
    write(Database(path, "notes", [FIRST]), "hello")

    assert read(Database(path, "notes", [FIRST])) == ["hello"]


def test_every_commit_goes_to_the_disk(path) -> None:
    database = Database(path, "notes", [FIRST])

    with database.reading() as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert db.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_only_the_owner_may_read_the_files(path) -> None:
    before = os.umask(0)
    try:
        write(Database(path, "notes", [FIRST]), "hello")
    finally:
        os.umask(before)

    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_a_failed_transaction_leaves_nothing_and_the_next_one_works(path) -> None:
    database = Database(path, "notes", [FIRST])

    def fail() -> None:
        with database.writing() as db:
            db.execute("INSERT INTO notes (words) VALUES ('half')")
            raise KeyError("on purpose")

    with pytest.raises(KeyError):
        fail()
    write(database, "whole")

    assert read(database) == ["whole"]


def test_an_older_file_is_brought_up_to_date_and_keeps_what_it_holds(path) -> None:
    write(Database(path, "notes", [FIRST]), "hello")

    with Database(path, "notes", [FIRST, SECOND]).reading() as db:
        assert tuple(db.execute("SELECT words, author FROM notes").fetchone()) == ("hello", "nobody")


def test_a_newer_file_is_refused_with_what_to_do(path) -> None:
    Database(path, "notes", [FIRST, SECOND])

    with pytest.raises(StorageError, match=r"schema 2 of its notes, this cleanplate knows schema 1.*newer") as caught:
        Database(path, "notes", [FIRST])
    assert not caught.value.transient


def test_a_file_that_a_newer_cleanplate_changed_meanwhile_is_not_touched_any_more(path) -> None:
    old = Database(path, "notes", [FIRST])
    Database(path, "notes", [FIRST, SECOND])

    with pytest.raises(StorageError, match="schema 2"):
        write(old, "hello")
    with pytest.raises(StorageError, match="schema 2"):
        read(old)


def test_a_migration_that_fails_leaves_the_file_as_it_was(path) -> None:
    write(Database(path, "notes", [FIRST]), "hello")

    with pytest.raises(StorageUnavailableError):
        Database(path, "notes", [FIRST, ("CREATE TABLE more (words TEXT)", "ALTER TABLE missing ADD COLUMN x TEXT")])

    assert read(Database(path, "notes", [FIRST])) == ["hello"]
    Database(path, "notes", [FIRST, ("CREATE TABLE more (words TEXT)",)])


def test_two_parts_share_a_file(path) -> None:
    notes = Database(path, "notes", [FIRST])
    Database(path, "other", [("CREATE TABLE other (words TEXT)",), ("CREATE TABLE more (words TEXT)",)])
    write(notes, "hello")

    assert read(notes) == ["hello"]


def test_many_that_open_a_new_file_at_once_make_it_once(path) -> None:
    with ThreadPoolExecutor(8) as threads:
        databases = list(threads.map(lambda _: Database(path, "notes", [FIRST, SECOND]), range(16)))

    for database in databases:
        write(database, "hello")
    assert read(databases[0]) == ["hello"] * 16


def test_a_file_that_is_no_database_is_refused_and_left_alone(path) -> None:
    path.write_bytes(b"not a database at all, " * 100)

    with pytest.raises(StorageError, match=r"notes\.sqlite3 is damaged") as caught:
        Database(path, "notes", [FIRST])
    assert not caught.value.transient
    assert path.read_bytes() == b"not a database at all, " * 100


def test_a_file_that_cannot_be_opened_may_be_later(tmp_path) -> None:
    with pytest.raises(StorageUnavailableError, match=r"notes\.sqlite3 cannot be used now: No such file") as caught:
        Database(tmp_path / "missing" / "notes.sqlite3", "notes", [FIRST])
    assert str(tmp_path) not in str(caught.value)


def test_a_full_disk_is_an_error_that_may_pass_and_nothing_is_half_written(path) -> None:
    database = Database(path, "notes", [FIRST])
    write(database, "before")
    with database.reading() as db:
        db.execute("PRAGMA max_page_count = 1")  # no page more than there are

    with pytest.raises(StorageUnavailableError, match="full"):
        write(database, "x" * 100_000)
    with database.reading() as db:
        db.execute("PRAGMA max_page_count = 1000")
    write(database, "later")

    assert read(database) == ["before", "later"]


def test_a_writer_waits_for_one_in_another_process(path) -> None:
    database = Database(path, "notes", [FIRST])
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO notes VALUES ('first')")
    let_go = threading.Timer(0.05, lambda: other.execute("COMMIT"))
    let_go.start()

    write(database, "second")

    let_go.join()
    other.close()
    assert read(database) == ["first", "second"]


def test_a_writer_that_waits_too_long_gives_up_and_may_come_back(path, monkeypatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.01)
    database = Database(path, "notes", [FIRST])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StorageUnavailableError, match="locked"):
        write(database, "second")
    assert read(database) == []  # who only reads need not wait
    other.execute("COMMIT")
    other.close()
    write(database, "second")
    assert read(database) == ["second"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_process_loses_nothing_when_its_parent_closes_the_file(path) -> None:
    database = Database(path, "notes", [FIRST])
    write(database, "before the fork")
    (hear_child, tell_parent), (hear_parent, tell_child) = os.pipe(), os.pipe()

    def write_twice() -> None:
        write(database, "child, first")
        os.write(tell_parent, b"!")
        os.read(hear_parent, 1)
        write(database, "child, second")

    child = fork(write_twice)
    os.read(hear_child, 1)
    # If the child had its parent's connection and not its locks, this would delete the log under it.
    database.close()
    os.write(tell_child, b"!")

    assert exit_code(child) == 0
    assert read(database) == ["before the fork", "child, first", "child, second"]
    for pipe in (hear_child, tell_parent, hear_parent, tell_child):
        os.close(pipe)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_fork_in_the_middle_of_another_threads_transaction_waits_for_its_end(path) -> None:
    database = Database(path, "notes", [FIRST])
    inside, leave = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with database.writing() as db:
            db.execute("INSERT INTO notes VALUES ('thread')")
            inside.set()
            leave.wait()

    thread = threading.Thread(target=write_slowly)
    thread.start()
    inside.wait()
    threading.Timer(0.05, leave.set).start()
    child = fork(lambda: write(database, "child"))
    thread.join()

    assert exit_code(child) == 0
    assert read(database) == ["child", "thread"]


def test_a_database_that_was_closed_opens_again_when_it_is_used(path) -> None:
    database = Database(path, "notes", [FIRST])
    database.close()
    database.close()
    write(database, "hello")

    assert read(database) == ["hello"]
