import ipaddress
from email import message_from_bytes
from pathlib import Path

import pytest
from label_studio_server import STILL_REFUSED, Account, LabelStudioServer, _multipart

REFUSED = [ipaddress.ip_network(network) for network in STILL_REFUSED]


@pytest.mark.parametrize(
    "address",
    [
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::ffff:10.0.0.1",
        "fe80::1",
        "fd00::1",
    ],
)
def test_label_studio_still_refuses_private_networks(address) -> None:
    assert any(ipaddress.ip_address(address) in network for network in REFUSED)


@pytest.mark.parametrize("address", ["127.0.0.1", "93.184.216.34", "2606:2800:220:1::1"])
def test_label_studio_reaches_this_machine_and_the_world(address) -> None:
    assert not any(ipaddress.ip_address(address) in network for network in REFUSED)


def test_no_secret_is_an_argument_that_everyone_on_the_machine_can_read(tmp_path, monkeypatch) -> None:
    started = []
    monkeypatch.setattr("label_studio_server.Service", lambda *args, **kwargs: started.append((args, kwargs)))
    account = Account(email="a@example.com", password="hush", api_key="0" * 40)
    server = LabelStudioServer(Path("python"), 8080, tmp_path / "data", tmp_path / "files", account)

    server.start(log=tmp_path / "log")

    ((_, command), settings) = started[0]
    assert "hush" not in str(command)
    assert "0" * 40 not in str(command)
    assert settings["environment"]["LABEL_STUDIO_PASSWORD"] == "hush"


def test_images_are_uploaded_with_their_names_and_bytes(tmp_path) -> None:
    files = {"a.jpg": b"\xff\xd8\r\n--x", "b.png": b"\x89PNG"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)

    body, content_type = _multipart(tmp_path / name for name in files)

    message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    parts = message.get_payload()
    assert {part.get_filename(): part.get_payload(decode=True) for part in parts} == files
    assert [part.get_content_type() for part in parts] == ["image/jpeg", "image/png"]
