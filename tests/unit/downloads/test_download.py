import errno
import fcntl
import hashlib
import resource
import shutil
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cleanplate.downloads.answers import require_safe
from cleanplate.downloads.download import Progress, RemoteFile, download
from cleanplate.errors import DownloadError, DownloadUnavailableError, StorageUnavailableError
from fakes.weights_server import WeightsServer

HALF = 512 * 1024

UNTRUSTED = Path(__file__).parents[1] / "label_studio" / "data" / "untrusted.pem"
"""A certificate that nobody signed, with its key."""


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "big.pt"


@pytest.fixture
def remote(server) -> RemoteFile:
    return RemoteFile(server.address, len(server.content), hashlib.sha256(server.content).hexdigest())


class Pauses(list[float]):
    """Notes how long one would have waited."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def fetch(remote: RemoteFile, path: Path, pause: Callable[[float], None] | None = None) -> list[Progress]:
    return list(download(remote, path, pause=Pauses() if pause is None else pause))


def leave_half(server: WeightsServer, remote: RemoteFile, path: Path) -> None:
    """A download that was given up when half of the file was here."""
    server.cuts = [HALF]
    steps = download(remote, path)
    for step in steps:
        if step.done_bytes == HALF:
            break
    steps.close()
    server.requests.clear()
    assert part(path).stat().st_size == HALF


def part(path: Path) -> Path:
    return path.with_name("big.pt.part")


def names(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()}


# The whole file


def test_the_file_comes_whole_and_leaves_nothing_beside_it(server, remote, path) -> None:
    steps = fetch(remote, path)

    assert path.read_bytes() == server.content
    assert names(path) == {"big.pt"}
    assert steps[0] == Progress(0)
    assert steps[-1] == Progress(len(server.content), "checking what has come")


def test_until_it_is_checked_it_is_not_under_its_name(remote, path) -> None:
    path.write_bytes(b"older")

    for _ in download(remote, path):
        assert path.read_bytes() == b"older"

    assert path.stat().st_size == remote.size_bytes


def test_a_server_that_does_not_say_how_long_it_is_is_read_to_its_end(server, remote, path) -> None:
    server.declares = False

    fetch(remote, path)

    assert path.read_bytes() == server.content


def test_a_file_whose_hash_nobody_stated_is_taken_by_its_size(server, remote, path) -> None:
    fetch(replace(remote, sha256=""), path)

    assert path.read_bytes() == server.content


def test_the_file_is_asked_for_as_it_is_and_without_credentials(server, remote, path, tmp_path, monkeypatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))

    fetch(remote, path)

    (headers,) = server.requests
    assert headers["Accept-Encoding"] == "identity"
    assert "Authorization" not in headers


def test_the_environment_s_proxy_is_asked(server, remote, path, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", server.address.removesuffix("/big.pt"))

    fetch(replace(remote, address="http://127.0.0.1:9/big.pt"), path)

    assert server.targets == ["http://127.0.0.1:9/big.pt"]
    assert path.read_bytes() == server.content


# What is not the published file


def test_of_a_file_with_another_hash_nothing_is_kept(server, remote, path) -> None:
    server.content = server.content[:-1] + b"!"
    path.write_bytes(b"older")

    with pytest.raises(DownloadError, match=r"SHA-256 .*not the published file, and nothing of it was kept") as caught:
        fetch(remote, path)

    assert not caught.value.transient
    assert path.read_bytes() == b"older"
    assert names(path) == {"big.pt"}


def test_a_part_that_went_bad_on_the_disk_is_noticed_and_dropped(server, remote, path) -> None:
    leave_half(server, remote, path)
    part(path).write_bytes(bytes(HALF))

    with pytest.raises(DownloadError, match="SHA-256"):
        fetch(remote, path)
    assert names(path) == set()

    fetch(remote, path)
    assert path.read_bytes() == server.content


@pytest.mark.parametrize("content", [b"short", bytes(2 * 1024 * 1024)])
def test_an_answer_of_another_length_is_refused_before_it_is_read(server, remote, path, content) -> None:
    server.content = content

    with pytest.raises(DownloadError, match=f"announces {len(content)} bytes instead of {remote.size_bytes}"):
        fetch(remote, path)

    assert names(path) == set()


def test_more_than_was_published_is_never_written(server, remote, path) -> None:
    server.content, server.declares = server.content * 3, False

    sizes_bytes = []
    steps = (sizes_bytes.append(part(path).stat().st_size) for _ in download(remote, path))

    with pytest.raises(DownloadError, match="sends more than the published"):
        list(steps)

    assert max(sizes_bytes) <= remote.size_bytes
    assert names(path) == set()


def test_a_web_page_in_place_of_the_file_costs_nothing_that_is_here(server, remote, path) -> None:
    leave_half(server, remote, path)
    server.resumes, server.media_type = False, "text/html; charset=utf-8"

    with pytest.raises(DownloadError, match="web page"):
        fetch(remote, path)

    assert part(path).stat().st_size == HALF


def test_a_packed_answer_is_refused(server, remote, path) -> None:
    server.replies = [(200, {"Content-Encoding": "gzip", "Content-Length": str(remote.size_bytes)})]

    with pytest.raises(DownloadError, match="packed"):
        fetch(remote, path)


# Going on


def test_a_download_goes_on_where_it_was_left(server, remote, path) -> None:
    leave_half(server, remote, path)

    steps = fetch(remote, path)

    assert steps[0] == Progress(HALF)
    assert server.ranges == [f"bytes={HALF}-"]
    assert server.requests[0]["If-Range"] == '"first"'
    assert path.read_bytes() == server.content


def test_an_interrupt_leaves_a_part_that_can_be_gone_on_with(server, remote, path) -> None:
    server.cuts = [HALF]
    pauses = []

    def interrupt(seconds: float) -> None:
        pauses.append(seconds)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(remote, path, interrupt)
    assert part(path).stat().st_size == HALF

    fetch(remote, path)
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert path.read_bytes() == server.content


def test_a_body_that_breaks_off_is_gone_on_with_at_once(server, remote, path) -> None:
    server.cuts = [1000, 2000]
    pauses = Pauses()

    steps = fetch(remote, path, pauses)

    assert server.ranges == [None, "bytes=1000-", "bytes=3000-"]
    assert path.read_bytes() == server.content
    assert pauses == [1, 1]
    assert [step.note for step in steps if "trying again" in step.note] == [
        "127.0.0.1 broke off (ProtocolError); trying again in 1 s",
        "127.0.0.1 broke off (ProtocolError); trying again in 1 s",
    ]


def test_an_end_that_nobody_announced_is_a_break_too(server, remote, path) -> None:
    server.declares, server.cuts = False, [1000]

    fetch(remote, path)

    assert server.ranges == [None, "bytes=1000-"]
    assert path.read_bytes() == server.content


def test_a_server_that_cannot_resume_begins_again(server, remote, path) -> None:
    leave_half(server, remote, path)
    server.resumes = False

    steps = fetch(remote, path)

    assert "beginning again" in steps[1].note
    assert steps[1].done_bytes == 0
    assert path.read_bytes() == server.content


def test_the_rest_of_another_version_is_not_added(server, remote, path) -> None:
    leave_half(server, remote, path)
    server.etag, server.content = '"second"', server.content[::-1]
    other = replace(remote, sha256=hashlib.sha256(server.content).hexdigest())

    fetch(other, path)

    assert path.read_bytes() == server.content


def test_the_rest_of_another_version_is_not_added_even_if_the_server_sends_it(server, remote, path) -> None:
    leave_half(server, remote, path)
    rest = f"bytes {HALF}-{remote.size_bytes - 1}/{remote.size_bytes}"
    server.replies = [(206, {"Content-Range": rest, "ETag": '"second"'})]

    fetch(remote, path)

    assert server.ranges == [f"bytes={HALF}-", None]
    assert path.read_bytes() == server.content


@pytest.mark.parametrize("given", ["bytes 0-9/1048576", "bytes 524288-1048575/99", "items 524288-1048575/1048576", ""])
def test_another_part_than_was_asked_for_is_not_added(server, remote, path, given) -> None:
    leave_half(server, remote, path)
    server.replies = [(206, {"Content-Range": given})]

    fetch(remote, path)

    assert path.read_bytes() == server.content


def test_where_the_version_is_told_by_a_date_that_is_sent_back(server, remote, path) -> None:
    server.etag, server.modified = 'W/"weak"', formatdate(1_000_000_000, usegmt=True)
    leave_half(server, remote, path)

    fetch(remote, path)

    assert server.requests[0]["If-Range"] == server.modified
    assert path.read_bytes() == server.content


def test_where_no_version_is_told_the_download_begins_again(server, remote, path) -> None:
    server.etag = ""
    leave_half(server, remote, path)

    fetch(remote, path)

    assert server.ranges == [None]
    assert path.read_bytes() == server.content


def test_a_part_from_another_address_is_dropped(server, remote, path) -> None:
    leave_half(server, remote, path)

    fetch(replace(remote, address=server.address + "?other"), path)

    assert server.ranges == [None]
    assert path.read_bytes() == server.content


@pytest.mark.parametrize("label", [b"", b"[]", b'{"address": 1}', b"\xff"])
def test_a_part_of_which_nobody_knows_what_it_is_is_dropped(server, remote, path, label) -> None:
    leave_half(server, remote, path)
    path.with_name("big.pt.part.json").write_bytes(label)

    fetch(remote, path)

    assert server.ranges == [None]
    assert path.read_bytes() == server.content


def test_a_part_that_is_longer_than_the_file_is_dropped(server, remote, path) -> None:
    leave_half(server, remote, path)
    part(path).write_bytes(server.content + b"more")

    fetch(remote, path)

    assert server.ranges[-1] is None
    assert path.read_bytes() == server.content


def test_a_part_that_is_whole_already_is_only_checked(server, remote, path) -> None:
    leave_half(server, remote, path)
    part(path).write_bytes(server.content)

    fetch(remote, path)

    assert server.requests == []
    assert path.read_bytes() == server.content


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(cuts=st.lists(st.integers(0, 2**20), max_size=4), habits=st.tuples(st.booleans(), st.booleans()))
def test_however_often_it_breaks_off_the_file_is_right(server, remote, path, cuts, habits) -> None:
    server.cuts = list(cuts)
    server.resumes, server.declares = habits

    fetch(remote, path)

    assert path.read_bytes() == server.content
    assert names(path) == {"big.pt"}


# Servers in trouble


def test_a_server_in_trouble_is_asked_again_with_growing_pauses(server, remote, path) -> None:
    server.replies = [(503, {}), (500, {}), (429, {"Retry-After": "7"})]
    pauses = Pauses()

    fetch(remote, path, pauses)

    assert pauses == [1, 2, 7]
    assert path.read_bytes() == server.content


def test_nobody_waits_longer_than_a_minute_for_a_server(server, remote, path) -> None:
    server.replies = [(503, {"Retry-After": "86400"}), (503, {"Retry-After": "soon"})]
    pauses = Pauses()

    fetch(remote, path, pauses)

    assert pauses == [60, 2]


def test_a_server_that_stays_in_trouble_is_given_up_and_what_came_is_kept(server, remote, path) -> None:
    server.cuts = [HALF]
    steps = download(remote, path, pause=lambda _: server.replies.append((503, {})))

    with pytest.raises(DownloadUnavailableError, match="answered 503") as caught:
        list(steps)

    assert caught.value.transient
    assert len(server.requests) == 1 + 4
    assert part(path).stat().st_size == HALF


def test_a_server_that_nobody_reaches_is_named(path) -> None:
    with pytest.raises(DownloadUnavailableError, match=r"127\.0\.0\.1 cannot be reached"):
        fetch(RemoteFile("http://127.0.0.1:9/big.pt", 10), path)

    assert names(path) == set()


def test_a_server_in_trouble_does_not_cost_what_is_here(server, remote, path) -> None:
    leave_half(server, remote, path)
    server.replies = [(503, {})]

    fetch(remote, path)

    assert server.ranges == [f"bytes={HALF}-"] * 2


def test_a_part_that_nobody_asked_for_is_not_the_file(server, remote, path) -> None:
    server.replies = [(206, {"Content-Range": f"bytes 0-{remote.size_bytes - 1}/{remote.size_bytes}"})] * 9

    with pytest.raises(DownloadError, match="answered 206"):
        fetch(remote, path)

    server.replies.clear()
    leave_half(server, remote, path)
    server.replies = [(206, {"Content-Range": "bytes 0-9/10"})] * 2
    with pytest.raises(DownloadError, match="answered 206"):
        fetch(remote, path)
    assert part(path).stat().st_size == HALF


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_file_that_is_not_there_is_not_asked_for_again(server, remote, path, status) -> None:
    server.replies = [(status, {})] * 2

    with pytest.raises(DownloadError, match=f"answered {status}"):
        fetch(remote, path)

    assert len(server.requests) == 1
    assert names(path) == set()


def test_a_certificate_that_nobody_signed_is_not_trusted(path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(UNTRUSTED)
    with WeightsServer(b"content", tls=context) as server:
        with pytest.raises(DownloadError, match="cannot be trusted") as caught:
            fetch(RemoteFile(server.address, 7), path)

        assert server.address.startswith("https://")
        assert server.requests == []
    assert not caught.value.transient


# Redirects


def test_redirects_are_followed_and_asked_for_the_rest_as_well(server, remote, path) -> None:
    leave_half(server, remote, path)
    server.replies = [(302, {"Location": "/elsewhere?signature=secret"})]

    fetch(remote, path)

    assert server.targets[-2:] == ["/big.pt", "/elsewhere?signature=secret"]
    assert server.ranges == [f"bytes={HALF}-"] * 2
    assert path.read_bytes() == server.content


def test_a_redirect_to_http_elsewhere_is_refused(server, remote, path) -> None:
    server.replies = [(302, {"Location": "http://weights.example.org/big.pt?signature=secret"})]

    with pytest.raises(DownloadError, match=r"leads to http://weights\.example\.org: only https") as caught:
        fetch(remote, path)

    assert "secret" not in str(caught.value)
    assert len(server.requests) == 1


def test_redirects_without_end_are_given_up(server, remote, path) -> None:
    server.replies = [(301, {"Location": "/again"})] * 20

    with pytest.raises(DownloadError, match="more than 5 times"):
        fetch(remote, path)

    assert len(server.requests) == 6


def test_no_error_tells_a_signed_address(server, remote, path) -> None:
    moved = (302, {"Location": "/elsewhere?signature=secret"})
    for cut in ((403, {}), (503, {})):
        server.replies = [moved, cut] * 6
        with pytest.raises(DownloadError) as caught:
            fetch(remote, path)
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org/big.pt",
        "http://127.0.0.1/big.pt",
        "http://[::1]/big.pt",
        "ftp://example.org/big.pt",
        "file:///etc/passwd",
        "https:///big.pt",
        "https://user:secret@example.org/big.pt",
        "https://example.org:port/big.pt",
        "https://[half/big.pt",
        "",
    ],
)
def test_from_https_nothing_but_https_is_reached(address) -> None:
    with pytest.raises(DownloadError, match=r"^example\.com leads to") as caught:
        require_safe(address, origin="https://example.com/big.pt")

    assert "secret" not in str(caught.value)


def test_http_is_for_servers_on_this_machine() -> None:
    assert require_safe("https://example.org/x", origin="http://127.0.0.1:1/x").hostname == "example.org"
    assert require_safe("http://[::1]:2/x", origin="http://127.0.0.1:1/x").port == 2
    for address in ("http://localhost.example.org/x", "http://10.0.0.1/x", "http://169.254.169.254/x"):
        with pytest.raises(DownloadError):
            require_safe(address, origin="http://127.0.0.1:1/x")
        with pytest.raises(DownloadError):
            require_safe(address, origin=address)


# The disk


def test_without_room_nothing_is_asked_for(server, remote, path, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))

    with pytest.raises(StorageUnavailableError, match=r"0 MiB free, and big\.pt needs 1 MiB more"):
        fetch(remote, path)

    assert server.requests == []
    assert names(path) == set()


def test_room_is_needed_for_the_rest_only(server, remote, path, monkeypatch) -> None:
    leave_half(server, remote, path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=HALF))

    fetch(remote, path)

    assert path.read_bytes() == server.content


@contextmanager
def files_end_at(size_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full_half_way_keeps_what_came(server, remote, path) -> None:
    with files_end_at(HALF), pytest.raises(StorageUnavailableError, match=r"big\.pt cannot be written") as caught:
        fetch(remote, path)

    assert caught.value.__cause__.errno == errno.EFBIG
    assert part(path).stat().st_size == HALF

    fetch(remote, path)
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert path.read_bytes() == server.content


def test_a_folder_that_is_not_there_is_named(remote, tmp_path) -> None:
    with pytest.raises(StorageUnavailableError, match="nowhere"):
        fetch(remote, tmp_path / "nowhere" / "big.pt")


def test_two_do_not_write_to_one_part(server, remote, path) -> None:
    leave_half(server, remote, path)

    with part(path).open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DownloadError, match=r"another process is fetching big\.pt"):
            fetch(remote, path)

    assert server.requests == []
    assert part(path).stat().st_size == HALF
    fetch(remote, path)
    assert path.read_bytes() == server.content
