from concurrent.futures import ThreadPoolExecutor

import pytest

from cleanplate.errors import StorageError
from cleanplate.storage.names import KEY_BYTES, Names, load_or_create_key

SUBJECT = {"label_studio_url": "http://localhost:8080", "project_id": 1, "task_id": 2, "annotation_id": 3}


def test_the_same_annotation_has_the_same_copy_id() -> None:
    assert Names(b"k" * 32).copy_id(**SUBJECT) == Names(b"k" * 32).copy_id(**SUBJECT)


@pytest.mark.parametrize(
    "change", [{"annotation_id": 4}, {"task_id": 3}, {"project_id": 2}, {"label_studio_url": "http://other"}]
)
def test_another_annotation_has_another_copy_id(change) -> None:
    assert Names(b"k" * 32).copy_id(**(SUBJECT | change)) != Names(b"k" * 32).copy_id(**SUBJECT)


def test_numbers_that_run_together_are_told_apart() -> None:
    names = Names(b"k" * 32)

    assert names.copy_id(**(SUBJECT | {"task_id": 12, "annotation_id": 3})) != names.copy_id(
        **(SUBJECT | {"task_id": 1, "annotation_id": 23})
    )


def test_without_the_key_nobody_can_make_the_name() -> None:
    assert Names(b"a" * 32).copy_id(**SUBJECT) != Names(b"b" * 32).copy_id(**SUBJECT)
    assert Names(b"a" * 32).object_name("job", ".png") != Names(b"b" * 32).object_name("job", ".png")


def test_names_are_short_lower_case_letters_and_digits() -> None:
    name = Names(b"k" * 32).object_name("../../etc/passwd", ".png")

    assert len(name) == 36
    assert name.endswith(".png")
    assert name[:32].isalnum()
    assert name == name.lower()


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Names(b"short")


def test_a_key_is_made_once_and_only_its_owner_may_read_it(tmp_path) -> None:
    path = tmp_path / "secrets" / "names.key"

    key = load_or_create_key(path)

    assert len(key) == KEY_BYTES
    assert load_or_create_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["names.key"]


def test_all_who_start_at_once_get_the_same_key(tmp_path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(load_or_create_key, [tmp_path / "names.key"] * 40))

    assert len(keys) == 1


def test_a_damaged_key_is_not_replaced(tmp_path) -> None:
    path = tmp_path / "names.key"
    path.write_bytes(b"half a key")

    with pytest.raises(StorageError, match="10 bytes instead of 32"):
        load_or_create_key(path)
    assert path.read_bytes() == b"half a key"
