import pytest

from cleanplate.web.admission import Admission, Head
from cleanplate.web.credentials import BasicAuth, WebhookSecrets
from cleanplate.web.options import WebOptions
from cleanplate.web.refusals import (
    BadHostError,
    BodyEncodedError,
    BodyTooLargeError,
    CrossOriginError,
    LengthRequiredError,
    RequestRefusedError,
    UnauthorizedError,
    WrongSecretError,
)

SECRETS = WebhookSecrets("secret")


def head(path: str = "/predict", method: str = "POST", **headers: str) -> Head:
    return Head(method=method, path=path, headers={"HOST": "127.0.0.1:9090", **headers})


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:9090", "127.0.0.1:9090", "[::1]:9090", "10.0.0.7", "cleanplate:9090", "a.localhost"],
)
def test_names_no_stranger_can_own_are_right(host: str) -> None:
    Admission(WebOptions(SECRETS)).require(head(HOST=host))


def test_the_name_docker_desktop_gives_its_host_is_right() -> None:
    Admission(WebOptions(SECRETS)).require(head(HOST="host.docker.internal:9090"))


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9090", "127.0.0.1.evil.example", "localhost.evil.com"])
def test_a_name_somebody_could_point_at_us_is_refused_while_there_is_no_password(host: str) -> None:
    with pytest.raises(BadHostError):
        Admission(WebOptions(SECRETS)).require(head(HOST=host))


def test_an_allowed_name_is_right_and_then_no_other() -> None:
    options = WebOptions(SECRETS, BasicAuth("u", "p"), allowed_hosts=frozenset({"clean.example"}))
    admission = Admission(options)

    admission.require(head("/health", "GET", HOST="clean.example"))
    admission.require(head("/health", "GET", HOST="Clean.Example.:80"))
    with pytest.raises(BadHostError):
        admission.require(head("/health", "GET", HOST="other.example"))


def test_with_a_password_every_well_formed_name_is_right() -> None:
    Admission(WebOptions(SECRETS, BasicAuth("u", "p"))).require(head("/health", "GET", HOST="any.example"))


@pytest.mark.parametrize(
    "host",
    ["", "a b", "a/b", "a, b", "localhost:x", "localhost:123456", "user@localhost", "[::1", "ö", "a\r\nb", "%61"],
)
def test_a_malformed_host_is_refused_everywhere(host: str) -> None:
    with pytest.raises(BadHostError):
        Admission(WebOptions(SECRETS, BasicAuth("u", "p"))).require(head("/health", "GET", HOST=host))


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9090"])
def test_a_web_page_cannot_post(origin: str) -> None:
    with pytest.raises(CrossOriginError):
        Admission(WebOptions(SECRETS)).require(head(ORIGIN=origin))


@pytest.mark.parametrize("path", ["/predict", "/setup", "/versions", "/train", "/status", "/metrics", "/nowhere"])
def test_everything_but_probes_and_the_webhook_asks_for_the_password(path: str) -> None:
    admission = Admission(WebOptions(SECRETS, BasicAuth("u", "p")))

    with pytest.raises(UnauthorizedError):
        admission.require(head(path))
    admission.require(head(path, AUTHORIZATION="Basic dTpw"))


@pytest.mark.parametrize("path", ["/", "/health", "/livez", "/readyz"])
def test_probes_are_open(path: str) -> None:
    Admission(WebOptions(SECRETS, BasicAuth("u", "p"))).require(head(path, "GET"))


def test_the_webhook_asks_for_its_secret_and_not_for_the_password() -> None:
    admission = Admission(WebOptions(SECRETS, BasicAuth("u", "p")))

    admission.require(head("/webhook", X_CLEANPLATE_SECRET="secret"))
    with pytest.raises(WrongSecretError):
        admission.require(head("/webhook", AUTHORIZATION="Basic dTpw"))


def test_a_body_in_chunks_is_refused() -> None:
    with pytest.raises(LengthRequiredError):
        Admission(WebOptions(SECRETS)).require(head(TRANSFER_ENCODING="chunked"))


def test_a_body_over_the_limit_is_refused_and_one_at_the_limit_is_not() -> None:
    admission = Admission(WebOptions(SECRETS, max_body_bytes=10))

    admission.require(head(CONTENT_LENGTH="10"))
    with pytest.raises(BodyTooLargeError):
        admission.require(head(CONTENT_LENGTH="11"))


@pytest.mark.parametrize("length", ["-1", "1.0", "abc", "1, 1", "٣", "9" * 19])
def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    with pytest.raises(RequestRefusedError):
        Admission(WebOptions(SECRETS)).require(head(CONTENT_LENGTH=length))


def test_a_compressed_body_is_refused_and_one_as_it_is_is_not() -> None:
    admission = Admission(WebOptions(SECRETS))

    admission.require(head(CONTENT_ENCODING="identity"))
    for encoding in ("gzip", "br", "deflate", "gzip, identity"):
        with pytest.raises(BodyEncodedError):
            admission.require(head(CONTENT_ENCODING=encoding))
