import base64
from datetime import UTC, datetime, timedelta

import pytest

from cleanplate.errors import SettingsError
from cleanplate.web.credentials import BasicAuth, WebhookSecrets

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def basic(user_and_password: bytes) -> str:
    return "Basic " + base64.b64encode(user_and_password).decode()


def test_the_right_user_and_password_are_accepted_whatever_case_the_scheme_has() -> None:
    auth = BasicAuth("studio", "pass:word")

    assert auth.accepts(basic(b"studio:pass:word"))
    assert auth.accepts(basic(b"studio:pass:word").replace("Basic", "bASIC"))


def test_a_password_with_umlauts_is_accepted_in_both_charsets_that_clients_use() -> None:
    auth = BasicAuth("studio", "schlüssel")

    assert auth.accepts(basic("studio:schlüssel".encode()))
    assert auth.accepts(basic("studio:schlüssel".encode("latin-1")))


def test_a_character_that_latin_1_lacks_is_not_simply_left_out() -> None:
    auth = BasicAuth("studio", "10€")

    assert auth.accepts(basic("studio:10€".encode()))
    assert not auth.accepts(basic(b"studio:10"))


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic ",
        "Basic ü",
        "Basic %%%",
        "Basic YQ",
        "Bearer x",
        "ü",
        basic(b"studio:pass"),
        basic(b"Studio:pass:word"),
        basic(b"studio"),
        basic(b"\xff\xfe:\x00"),
        basic("ü:pass:word".encode()),
        basic(b"studio:pass:word") + ", " + basic(b"studio:pass:word"),
    ],
)
def test_everything_else_is_refused_and_nothing_raises(authorization: str) -> None:
    assert not BasicAuth("studio", "pass:word").accepts(authorization)


@pytest.mark.parametrize(("user", "password"), [("", "p"), ("u", ""), ("u:v", "p")])
def test_credentials_that_cannot_work_are_refused_at_start(user: str, password: str) -> None:
    with pytest.raises(SettingsError):
        BasicAuth(user, password)


def test_the_previous_secret_is_accepted_until_its_time_is_over() -> None:
    secrets = WebhookSecrets("new", previous="old", previous_until=NOON)

    assert secrets.accepts("old", NOON - timedelta(seconds=1))
    assert not secrets.accepts("old", NOON)
    assert secrets.accepts("new", NOON)


def test_a_previous_secret_without_an_end_is_never_accepted() -> None:
    assert not WebhookSecrets("new", previous="old").accepts("old", NOON)


@pytest.mark.parametrize("given", ["", "sekret", "secrets", "SECRET", "secret, secret", "sécret", "secret\x00"])
def test_a_secret_is_right_to_the_last_byte_or_refused(given: str) -> None:
    assert not WebhookSecrets("secret").accepts(given, NOON)


def test_no_previous_secret_does_not_make_an_empty_one_right() -> None:
    assert not WebhookSecrets("secret", previous="", previous_until=NOON).accepts("", NOON - timedelta(days=1))


@pytest.mark.parametrize("current", ["", "geheimnis-ü"])
def test_a_secret_no_header_can_carry_is_refused_at_start(current: str) -> None:
    with pytest.raises(SettingsError):
        WebhookSecrets(current)


def test_neither_password_nor_secret_shows_in_a_repr() -> None:
    text = repr(BasicAuth("studio", "hush-1")) + repr(WebhookSecrets("hush-2", previous="hush-3"))

    assert "hush" not in text
