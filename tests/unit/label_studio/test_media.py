import base64

import pytest

from cleanplate.codecs.container import Format
from cleanplate.errors import (
    LabelStudioAuthError,
    LabelStudioUnreachableError,
    MediaError,
    MediaMissingError,
    MediaTooLargeError,
    UrlNotAllowedError,
)
from cleanplate.label_studio.addresses import resolve
from cleanplate.label_studio.client import LabelStudioClient
from cleanplate.label_studio.media import MAX_URL_CHARACTERS, Media, SourceKind, local_files_url

TOKEN = "0123456789abcdef0123456789abcdef01234567"
PNG = b"\x89PNG\r\n\x1a\n"

METADATA = "http://169.254.169.254/latest/meta-data"


@pytest.fixture
def elsewhere(server_factory):
    return server_factory()


@pytest.fixture
def media(server) -> Media:
    return Media(LabelStudioClient(server.url, TOKEN, retries=0), max_bytes=1000)


def allowing(server, *origins: str, **options: object) -> Media:
    client = LabelStudioClient(server.url, TOKEN, retries=0)
    return Media(client, allowed_origins=origins, **options)


def fetch(media: Media, url: str) -> bytes:
    return media.fetch(url, project_id=1, task_id=7)


# Kinds


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("/data/upload/1/9e137bea-a.jpg", SourceKind.UPLOAD),
        ("http://studio.example:8080/data/upload/1/9e137bea-a.jpg", SourceKind.UPLOAD),
        ("/data/local-files/?d=set1/p%201.jpg", SourceKind.LOCAL),
        ("/data/local-files?d=set1/p.jpg", SourceKind.LOCAL),
        ("https://studio.example/data/local-files/?d=a.jpg", SourceKind.LOCAL),
        ("s3://bucket/key with spaces.jpg", SourceKind.CLOUD),
        ("gs://bucket/key", SourceKind.CLOUD),
        ("azure-blob://container/key", SourceKind.CLOUD),
        ("https://images.example/a.jpg", SourceKind.HTTP),
        ("HTTPS://Images.Example:443/a.jpg", SourceKind.HTTP),
        ("http://images.example:8000/data/upload/1/a.jpg", SourceKind.HTTP),
        ("data:image/png;base64,iVBO", SourceKind.DATA),
        ("DATA:image/jpeg;base64,iVBO", SourceKind.DATA),
    ],
)
def test_an_address_is_of_the_kind_it_looks_like(server, url, kind) -> None:
    media = allowing(server, "https://images.example", "http://images.example:8000")

    assert media.kind_of(url) is kind


@pytest.mark.parametrize(
    "url",
    [
        METADATA,
        "http://127.0.0.1/a.png",
        "http://127.1/a.png",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0/",
        "http://[::1]/a.png",
        "http://[::ffff:127.0.0.1]/",
        "http://[fe80::1%25eth0]/",
        "http://images.example/a.jpg",
        "https://images.example:444/a.jpg",
        "https://images.example./a.jpg",
        "https://images.example.evil.example/a.jpg",
        "https://images.example@evil.example/a.jpg",
        "https://user:pass@images.example/a.jpg",
        "https://images.example:0/a.jpg",
        "https://images.example:99999/a.jpg",
        "https://images.example:x/a.jpg",
        "https://[broken/a.jpg",
        "//images.example/a.jpg",
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "ftp://images.example/a.jpg",
        "gopher://images.example/",
        "jar:https://images.example/a.jpg",
        "data:text/html;base64,PGh0bWw+",
        "data:image/svg+xml,<svg/>",
        "data:,x",
        "javascript:alert(1)",
        "s3:///key",
        "s3:key",
        "https:images.example/a.jpg",
        "",
        "a.jpg",
        "/a.jpg",
        "/api/projects",
        "/data/uploads/1/a.jpg",
        "/tasks/1/resolve/?fileuri=aHR0cDovL3g=",
        "https://images.example/a\nb.jpg",
        "https://images.example/a\x00.jpg",
        "https://images.example\\@evil.example/",
        "https://images.example/" + "a" * MAX_URL_CHARACTERS,
    ],
)
def test_an_address_that_nobody_allowed_is_refused(server, url) -> None:
    media = allowing(server, "https://images.example")

    with pytest.raises(UrlNotAllowedError):
        media.kind_of(url)
    with pytest.raises(UrlNotAllowedError):
        fetch(media, url)
    assert server.asked == []


def test_a_refusal_names_the_origin_and_not_the_rest(media) -> None:
    with pytest.raises(UrlNotAllowedError) as caught:
        media.kind_of("https://other.example/people/jane-doe.jpg?X-Signature=s3cret")

    assert "https://other.example" in str(caught.value)
    assert "jane-doe" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


# Label Studio's own files


def test_an_upload_is_asked_from_our_label_studio_whatever_its_host_is_called(server, media) -> None:
    server.on("GET", "/data/upload/1/a.png", 200, PNG)

    assert fetch(media, "/data/upload/1/a.png") == PNG
    assert fetch(media, "http://studio.example:8080/data/upload/1/a.png") == PNG
    assert [asked.headers["Authorization"] for asked in server.asked] == [f"Token {TOKEN}"] * 2


def test_a_path_in_front_of_label_studios_own_is_kept(server) -> None:
    server.on("GET", "/studio/data/upload/1/a.png", 200, PNG)
    media = Media(LabelStudioClient(f"{server.url}/studio", TOKEN, retries=0))

    assert fetch(media, "/data/upload/1/a.png") == PNG
    assert fetch(media, "/studio/data/upload/1/a.png") == PNG
    assert fetch(media, f"{server.url}/studio/data/upload/1/a.png") == PNG


def test_a_local_file_is_asked_for_by_its_name(server, media) -> None:
    server.on("GET", "/data/local-files/", 200, PNG)

    assert fetch(media, "/data/local-files/?d=set1/p%201%2B%C3%BC.jpg") == PNG
    assert server.asked[0].query == {"d": ["set1/p 1+ü.jpg"]}


@pytest.mark.parametrize(
    "query",
    [
        "d=../../etc/passwd",
        "d=a/../../etc/passwd",
        "d=%2e%2e%2fetc/passwd",
        "d=%2e%2e/x",
        "d=..%5Cx",
        "d=/etc/passwd",
        "d=%2Fetc%2Fpasswd",
        "d=C:/x",
        "d=%252e%252e%252fx",
        "d=%252e",
        "d=a%2500.jpg",
        "d=a%00.jpg",
        "d=a%0d%0ab.jpg",
        "d=a\\b",
        "d=a&d=../../x",
        "d=../../x&d=a",
        "d=a&e=b",
        "e=a",
        "d=",
        "d",
        "",
        "d=./a",
        "d=a/.",
    ],
)
def test_a_local_file_that_leads_elsewhere_is_refused(server, media, query) -> None:
    with pytest.raises(UrlNotAllowedError):
        fetch(media, f"/data/local-files/?{query}")
    assert server.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "/data/upload/../../api/current-user/token",
        "/data/upload/1/../../../api/projects",
        "/data/upload/%2e%2e/%2e%2e/api/projects",
        "/data/upload/1/%252e%252e/x",
        "/data/upload/1/..%2f..%2fapi",
        "/data/upload/1/a%00.png",
        "/data/upload/1/%5c..%5cx",
        "/data/upload/./1/a.png",
        "/data/upload/1/%25252525252e",
    ],
)
def test_an_upload_that_leads_elsewhere_is_refused(server, media, path) -> None:
    with pytest.raises(UrlNotAllowedError):
        fetch(media, path)
    assert server.asked == []


def test_the_address_of_a_local_file_is_what_fetching_it_asks_for(server, media) -> None:
    server.on("GET", "/data/local-files/", 200, PNG)

    url = local_files_url("copies/a b+c&d=ü.png")

    assert media.kind_of(url) is SourceKind.LOCAL
    assert fetch(media, url) == PNG
    assert server.asked[0].query == {"d": ["copies/a b+c&d=ü.png"]}


@pytest.mark.parametrize("status", [404, 410])
def test_a_file_that_label_studio_does_not_have_is_missing(server, media, status) -> None:
    server.on("GET", "/data/upload/1/a.png", status)

    with pytest.raises(MediaMissingError):
        fetch(media, "/data/upload/1/a.png")


def test_label_studios_crash_over_an_unknown_upload_means_it_is_missing(server, media) -> None:
    detail = "'NoneType' object has no attribute 'has_permission'"
    server.on("GET", "/data/upload/1/a.png", 500, {"status_code": 500, "detail": detail})

    with pytest.raises(MediaMissingError):
        fetch(media, "/data/upload/1/a.png")


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_trouble_in_label_studio_is_transient(server, media, status) -> None:
    server.on("GET", "/data/upload/1/a.png", status, {"detail": "trouble"}, Retry_After="9")

    with pytest.raises(LabelStudioUnreachableError) as caught:
        fetch(media, "/data/upload/1/a.png")
    assert caught.value.retry_after_s == 9


def test_a_token_that_may_not_see_the_file_is_told_apart_from_a_bad_one(server, media) -> None:
    server.on("GET", "/data/upload/1/a.png", 401)
    server.on("GET", "/data/upload/1/b.png", 403)

    with pytest.raises(LabelStudioAuthError):
        fetch(media, "/data/upload/1/a.png")
    with pytest.raises(MediaError) as caught:
        fetch(media, "/data/upload/1/b.png")
    assert not caught.value.transient


def test_a_login_page_instead_of_an_image_is_an_auth_error(server, media) -> None:
    server.on("GET", "/data/upload/1/a.png", 200, b"<!doctype html><html>log in", Content_Type="text/html")
    server.on("GET", "/data/upload/1/b.png", 302, Location="/user/login/?next=/data/upload/1/b.png")

    for name in ("a", "b"):
        with pytest.raises(LabelStudioAuthError, match="wants a login"):
            fetch(media, f"/data/upload/1/{name}.png")


@pytest.mark.parametrize("length", [{}, {"Content_Length": "99999999999"}])
def test_a_file_beyond_the_limit_is_cut_off(server, media, length) -> None:
    server.on("GET", "/data/upload/1/a.png", 200, b"x" * 1001, Connection="close", **length)

    with pytest.raises(MediaTooLargeError, match="longer than 1,000 bytes"):
        fetch(media, "/data/upload/1/a.png")


def test_a_file_of_exactly_the_limit_is_fetched(server, media) -> None:
    server.on("GET", "/data/upload/1/a.png", 200, b"x" * 1000)

    assert len(fetch(media, "/data/upload/1/a.png")) == 1000


def test_a_file_that_breaks_off_is_transient(server, media) -> None:
    server.on("GET", "/data/upload/1/a.png", 200, b"x" * 10, Content_Length="500", Connection="close")

    with pytest.raises(LabelStudioUnreachableError, match="broke off"):
        fetch(media, "/data/upload/1/a.png")


# Cloud storage


def test_a_cloud_address_is_resolved_by_label_studio_for_its_task(server, media) -> None:
    server.on("GET", "/tasks/7/resolve/", 200, PNG)

    assert fetch(media, "s3://bucket/a b.png") == PNG
    coded = server.asked[0].query["fileuri"][0]
    assert base64.urlsafe_b64decode(coded).decode() == "s3://bucket/a b.png"


def test_a_cloud_address_without_a_task_is_resolved_for_its_project(server, media) -> None:
    server.on("GET", "/projects/1/resolve/", 200, PNG)

    assert media.fetch("gs://bucket/a.png", project_id=1, task_id=None) == PNG


def test_the_token_stays_behind_when_the_storage_is_elsewhere(server, elsewhere) -> None:
    server.on("GET", "/tasks/7/resolve/", 303, Location=f"{elsewhere.url}/bucket/a.png?X-Signature=s")
    elsewhere.on("GET", "/bucket/a.png", 200, PNG)

    assert fetch(allowing(server, elsewhere.url), "s3://bucket/a.png") == PNG
    assert elsewhere.asked[0].query == {"X-Signature": ["s"]}
    assert "Authorization" not in elsewhere.asked[0].headers


@pytest.mark.parametrize(
    "location", [METADATA, "http://127.0.0.1:1/", "http://[::1]/", "file:///etc/passwd", "ftp://x/", "http://u@x/"]
)
def test_a_storage_in_a_private_network_is_reached_only_if_it_was_named(server, media, location) -> None:
    server.on("GET", "/tasks/7/resolve/", 303, Location=location)

    with pytest.raises(UrlNotAllowedError):
        fetch(media, "s3://bucket/a.png")


def test_a_public_storage_needs_no_permission_but_every_address_of_it_is_checked(server) -> None:
    server.on("GET", "/tasks/7/resolve/", 303, Location="https://bucket.example/a.png")
    asked: list[str] = []

    def private(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["93.184.216.34", "10.0.0.1"]

    with pytest.raises(UrlNotAllowedError):
        fetch(allowing(server, resolve=private), "s3://bucket/a.png")
    assert asked == ["bucket.example"]


def test_a_cloud_file_that_is_not_there_is_missing(server, media) -> None:
    server.on("GET", "/tasks/7/resolve/", 404)

    with pytest.raises(MediaMissingError):
        fetch(media, "s3://other-bucket/secret")


# Other servers


def test_an_allowed_origin_may_be_private_and_never_sees_the_token(server, elsewhere) -> None:
    elsewhere.on("GET", "/pictures/a b.png", 404)
    elsewhere.on("GET", "/pictures/a%20b.png", 200, PNG)

    assert fetch(allowing(server, elsewhere.url), f"{elsewhere.url}/pictures/a b.png?v=1") == PNG
    assert elsewhere.asked[0].query == {"v": ["1"]}
    assert "Authorization" not in elsewhere.asked[0].headers
    assert server.asked == []


def test_an_allowed_name_that_turns_to_the_metadata_service_is_refused(server) -> None:
    media = allowing(server, "http://images.example", resolve=lambda *_: ["169.254.169.254"])

    with pytest.raises(UrlNotAllowedError):
        fetch(media, "http://images.example/a.png")


def test_redirects_are_followed_within_what_is_allowed(server, elsewhere) -> None:
    elsewhere.on("GET", "/1", 302, Location="/2")
    elsewhere.on("GET", "/2", 301, Location="3?x=1")
    elsewhere.on("GET", "/3", 308, Location=f"{elsewhere.url}/4")
    elsewhere.on("GET", "/4", 200, PNG)

    assert fetch(allowing(server, elsewhere.url), f"{elsewhere.url}/1") == PNG


def test_a_fourth_redirect_is_too_many(server, elsewhere) -> None:
    elsewhere.on("GET", "/round", 302, Location="/round")

    with pytest.raises(MediaError, match="more than 3 times"):
        fetch(allowing(server, elsewhere.url), f"{elsewhere.url}/round")
    assert len(elsewhere.asked) == 4


@pytest.mark.parametrize(
    "location",
    [
        METADATA,
        "http://127.0.0.1:1/",
        "//127.0.0.1:1/",
        "http://[64:ff9b::7f00:1]/",
        "https://public.example/a.png",
        "file:///etc/passwd",
        "ftp://x/",
        "s3://bucket/key",
        "http://user@127.0.0.1/",
    ],
)
def test_a_redirect_to_what_is_not_allowed_is_refused(server, elsewhere, location) -> None:
    elsewhere.on("GET", "/a.png", 302, Location=location)

    with pytest.raises(UrlNotAllowedError):
        fetch(allowing(server, elsewhere.url), f"{elsewhere.url}/a.png")
    assert len(elsewhere.asked) == 1


def test_a_redirect_back_to_label_studio_does_not_carry_the_token_along(server, elsewhere) -> None:
    elsewhere.on("GET", "/a.png", 302, Location=f"{server.url}/api/current-user/token")

    with pytest.raises(UrlNotAllowedError):
        fetch(allowing(server, elsewhere.url), f"{elsewhere.url}/a.png")
    assert server.asked == []


# Data URLs


def test_an_image_in_the_task_itself_is_decoded(media) -> None:
    assert fetch(media, "data:image/png;base64," + base64.b64encode(PNG).decode()) == PNG


def test_an_image_in_the_task_itself_has_the_same_limit(media) -> None:
    assert len(fetch(media, "data:image/png;base64," + base64.b64encode(b"x" * 999).decode())) == 999
    with pytest.raises(MediaTooLargeError):
        fetch(media, "data:image/png;base64," + base64.b64encode(b"x" * 1002).decode())


@pytest.mark.parametrize("coded", ["!!!!", "iVBO iVBO", "iVB", "ü"])
def test_a_broken_data_url_is_an_error(media, coded) -> None:
    with pytest.raises(MediaError, match="broken"):
        fetch(media, f"data:image/png;base64,{coded}")


# Back


def test_a_copy_is_uploaded_once_however_often_it_is_put(server, media) -> None:
    server.on("GET", "/api/projects/1/file-uploads", 200, [{"id": 1, "file": "upload/1/aaaaaaaa-other.png"}])
    server.on(
        "GET",
        "/api/projects/1/file-uploads",
        200,
        [{"id": 1, "file": "upload/1/aaaaaaaa-other.png"}, {"id": 2, "file": "upload/1/bbbbbbbb-copy.png"}],
    )
    server.on("POST", "/api/projects/1/import", 201, {"file_upload_ids": [2]})
    server.on("GET", "/api/import/file-upload/2", 200, {"id": 2, "file": "upload/1/bbbbbbbb-copy.png"})

    first = media.put_upload(1, name="copy.png", content=PNG)
    second = media.put_upload(1, name="copy.png", content=PNG)

    assert first == second == "/data/upload/1/bbbbbbbb-copy.png"
    assert [asked.method for asked in server.asked].count("POST") == 1
    assert b"Content-Type: image/png" in server.asked[1].body


@pytest.mark.parametrize("kind", Format)
def test_a_copy_of_every_format_is_uploaded_as_what_it_is(server, media, kind) -> None:
    name = f"copy.{kind.extension}"
    server.on("GET", "/api/projects/1/file-uploads", 200, [])
    server.on("POST", "/api/projects/1/import", 201, {"file_upload_ids": [2]})
    server.on("GET", "/api/import/file-upload/2", 200, {"id": 2, "file": f"upload/1/bbbbbbbb-{name}"})

    assert media.put_upload(1, name=name, content=PNG) == f"/data/upload/1/bbbbbbbb-{name}"
    assert f"Content-Type: image/{kind.value}".encode() in server.asked[1].body


def test_a_copy_is_deleted_by_its_name(server, media) -> None:
    server.on("GET", "/api/projects/1/file-uploads", 200, [{"id": 2, "file": "upload/1/bbbbbbbb-copy.png"}])
    server.on("DELETE", "/api/import/file-upload/2", 204)

    assert media.delete_upload(1, name="copy.png")
    assert not media.delete_upload(1, name="other.png")


def test_names_are_looked_up_with_the_systems_own_resolver_unless_told_otherwise(server) -> None:
    assert "127.0.0.1" in resolve("127.0.0.1", 80)
    server.on("GET", "/tasks/7/resolve/", 303, Location="http://localhost:1/a.png")
    with pytest.raises(UrlNotAllowedError):
        fetch(allowing(server), "s3://bucket/a.png")
