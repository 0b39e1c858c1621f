import base64
import json
from collections.abc import Callable

import pytest

from cleanplate.label_studio.credentials import Credentials

PERSONAL = "head.body.signature"


class Exchange:
    """Hands out access tokens and counts them."""

    def __init__(self, make: Callable[[int], str]) -> None:
        self.asked: list[str] = []
        self._make = make

    def __call__(self, api_key: str) -> str:
        self.asked.append(api_key)
        return self._make(len(self.asked))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def access_token(number: int, *, expires: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expires, "jti": number}).encode()).decode().rstrip("=")
    return f"head.{claims}.signature"


def test_a_legacy_token_is_sent_as_it_is() -> None:
    exchange = Exchange(str)
    credentials = Credentials("0123456789abcdef", exchange)

    assert credentials.header() == "Token 0123456789abcdef"
    assert not credentials.is_personal
    assert not credentials.renew(credentials.header())
    assert exchange.asked == []


def test_a_personal_token_is_exchanged_once_until_shortly_before_its_end() -> None:
    clock = Clock()
    exchange = Exchange(lambda number: access_token(number, expires=1000.0 + 300 * number))
    credentials = Credentials(PERSONAL, exchange, now=clock)

    first = credentials.header()
    clock.now = 1269.0
    assert credentials.header() == first
    clock.now = 1270.0
    second = credentials.header()

    assert first == f"Bearer {access_token(1, expires=1300.0)}"
    assert second == f"Bearer {access_token(2, expires=1600.0)}"
    assert exchange.asked == [PERSONAL, PERSONAL]


@pytest.mark.parametrize("access", ["opaque", "a.b.c", "a.e30.c", "a.bnVsbA.c", "a.eyJleHAiOiAieCJ9.c"])
def test_an_access_token_that_does_not_say_its_end_is_used_for_half_a_minute(access) -> None:
    clock = Clock()
    exchange = Exchange(lambda _: access)
    credentials = Credentials(PERSONAL, exchange, now=clock)

    credentials.header()
    clock.now += 29
    credentials.header()
    assert len(exchange.asked) == 1
    clock.now += 1
    credentials.header()
    assert len(exchange.asked) == 2


def test_a_refused_access_token_is_exchanged_again_but_only_once_for_all_who_were_refused() -> None:
    exchange = Exchange(lambda number: access_token(number, expires=9999.0))
    credentials = Credentials(PERSONAL, exchange, now=Clock())
    refused = credentials.header()

    assert credentials.renew(refused)
    assert credentials.header() != refused
    assert credentials.renew(refused)
    credentials.header()

    assert len(exchange.asked) == 2
