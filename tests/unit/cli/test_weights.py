import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import save_file

from cleanplate.app import weights as app_weights
from cleanplate.cli import weights as cli_weights
from cleanplate.downloads import download as downloads
from cleanplate.engines import published as engines_published
from cleanplate.engines.published import BIG_LAMA, CATALOGUE
from cleanplate.engines.registry import WITH_WEIGHTS
from cleanplate.engines.weights import Published
from fakes.weights_server import WeightsServer

LENGTH = 2**18

# A pickle's instructions for one tensor of so many numbers, called w, as torch writes them.
PICKLE = (
    b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
    b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ\x00\x00\x04\x00tQK\x00J\x00\x00\x04\x00\x85K\x01\x85\x89NtRs."
)


def checkpoint() -> bytes:
    """A file of a mebibyte and a little, as torch writes it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("big/data.pkl", PICKLE)
        archive.writestr("big/data/0", bytes(4 * LENGTH))
    return file.getvalue()


@pytest.fixture(autouse=True)
def _no_proxy_and_no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(downloads, "_FIRST_PAUSE_S", 0)


@pytest.fixture
def server() -> Iterator[WeightsServer]:
    with WeightsServer(checkpoint()) as running:
        yield running


@pytest.fixture
def published(server, monkeypatch) -> Published:
    """LaMa's weights, were they small and given away by this machine. The rest of the catalogue is as it is."""
    content = server.content
    sha256 = hashlib.sha256(content).hexdigest()
    small = replace(BIG_LAMA, address=server.address, size_bytes=len(content), sha256=sha256)
    use(monkeypatch, small)
    return small


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "data" / "weights"


@pytest.fixture
def here(published, server, folder) -> Path:
    """Where the weights are, as published."""
    folder.mkdir(parents=True)
    path = folder / published.name
    path.write_bytes(server.content)
    return path


def use(monkeypatch: pytest.MonkeyPatch, first: Published) -> None:
    for module in (engines_published, app_weights):
        monkeypatch.setattr(module, "CATALOGUE", (first, *CATALOGUE[1:]))


# The catalogue


def test_every_engine_that_needs_weights_is_in_the_catalogue() -> None:
    # The folders of sam2 are not fetched: nobody states their hashes.
    assert {published.engine for published in CATALOGUE} >= WITH_WEIGHTS - {"sam2"}


@pytest.mark.parametrize("published", CATALOGUE, ids=lambda published: published.name)
def test_what_the_catalogue_says_can_be_fetched_and_checked(published) -> None:
    parts = urlsplit(published.address)

    assert (parts.scheme, Path(parts.path).name) == ("https", published.name)
    assert re.fullmatch(r"[0-9a-f]{64}", published.sha256)
    assert published.size_bytes > 10**8
    assert published.licence
    assert published.setting.startswith("CLEANPLATE_")


def test_names_are_unlike() -> None:
    names = [name for published in CATALOGUE for name in published.names]

    assert len(set(names)) == len(names)


# list


def test_the_list_names_size_and_licence_and_what_is_not_here(cleanplate) -> None:
    answer = cleanplate("weights", "list")

    lines = answer.stdout.splitlines()
    assert answer.exit_code == 0
    assert lines[1].split() == ["big-lama.pt", "lama", "196", "MiB", "Apache-2.0", "not", "here"]
    assert [line.split()[0] for line in lines[2:5]] == [published.name for published in CATALOGUE[1:]]
    assert lines[-1] == "Fetch them with cleanplate weights fetch NAME"


def test_the_list_tells_where_weights_are(cleanplate, here) -> None:
    assert str(here) in cleanplate("weights", "list").stdout

    first, *others = json.loads(cleanplate("weights", "list", "--json").stdout)
    assert first["path"] == str(here)
    assert {other["path"] for other in others} == {None}
    assert set(first) == {"name", "engine", "size_bytes", "licence", "address", "sha256", "path"}


def test_weights_in_the_folder_that_is_set_are_found(cleanplate, server, published, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CLEANPLATE_WEIGHTS_DIR", str(tmp_path))
    (tmp_path / published.name).write_bytes(server.content)

    assert str(tmp_path / published.name) in cleanplate("weights", "list").stdout


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("name", ["big-lama.pt", "renamed.pt"])
def test_a_checkpoint_that_is_set_is_known_by_its_name_or_size(cleanplate, server, tmp_path, monkeypatch, name) -> None:
    (tmp_path / name).write_bytes(server.content)
    monkeypatch.setenv("CLEANPLATE_LAMA_CHECKPOINT", str(tmp_path / name))

    (first, *_) = json.loads(cleanplate("weights", "list", "--json").stdout)

    assert first["path"] == str(tmp_path / name)


@pytest.mark.usefixtures("published")
def test_a_checkpoint_of_another_name_and_size_is_not_the_published_one(cleanplate, tmp_path, monkeypatch) -> None:
    (tmp_path / "mine.pt").write_bytes(b"mine")
    monkeypatch.setenv("CLEANPLATE_LAMA_CHECKPOINT", str(tmp_path / "mine.pt"))

    (first, *_) = json.loads(cleanplate("weights", "list", "--json").stdout)

    assert first["path"] is None


# fetch


@pytest.mark.usefixtures("published")
def test_fetched_weights_are_where_the_engine_looks_for_them(cleanplate, server, folder) -> None:
    answer = cleanplate("weights", "fetch", "big-lama.pt")

    assert answer.exit_code == 0, answer.output
    assert (folder / "big-lama.pt").read_bytes() == server.content
    assert [file.name for file in folder.iterdir()] == ["big-lama.pt"]
    assert answer.stdout == f"✓ {folder / 'big-lama.pt'}  SHA-256 as published\n"
    assert str(folder) in cleanplate("weights", "list").stdout


def test_licence_size_and_address_are_told_before_anything_is_fetched(cleanplate, server, published) -> None:
    server.replies = [(404, {})]

    answer = cleanplate("weights", "fetch", "big-lama.pt")

    assert answer.exit_code == 1
    told, failed = answer.stderr.split("✗")
    assert "1 MiB, licence Apache-2.0" in told
    assert published.address in told
    assert "answered 404" in failed


@pytest.mark.usefixtures("published")
def test_without_a_terminal_the_progress_is_lines(cleanplate, server) -> None:
    server.cuts = [len(server.content) // 2]

    answer = cleanplate("weights", "fetch", "big-lama.pt")

    assert "trying again" in answer.stderr
    assert answer.stderr.splitlines()[-1].strip() == "checking what has come"
    assert "1 MiB of 1 MiB" in answer.stderr


@pytest.mark.usefixtures("published")
def test_on_a_terminal_the_progress_is_a_bar(cleanplate, monkeypatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(cli_weights, "err", Console(file=screen, force_terminal=True, width=100))

    answer = cleanplate("weights", "fetch", "big-lama.pt")

    assert answer.exit_code == 0
    assert "━" in screen.getvalue()
    assert "MiB" in screen.getvalue()


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("name", ["big", "lama", "big-lama.pt"])
def test_a_name_may_be_its_beginning_or_the_engine(cleanplate, name) -> None:
    assert json.loads(cleanplate("weights", "fetch", name, "--json").stdout)["name"] == "big-lama.pt"


@pytest.mark.parametrize("name", ["sam", "sam_vit", "nothing", ""])
def test_a_name_of_none_or_several_is_refused_with_those_there_are(cleanplate, name) -> None:
    answer = cleanplate("weights", "fetch", name, "--json")

    error = json.loads(answer.stdout)["error"]
    assert (answer.exit_code, error["reason"]) == (1, "weights_unknown")
    assert "sam_vit_b_01ec64.pth" in error["message"]


@pytest.mark.usefixtures("here")
def test_what_is_here_is_not_fetched_again(cleanplate, server) -> None:
    answer = cleanplate("weights", "fetch", "big-lama.pt")

    assert (answer.exit_code, server.requests) == (0, [])
    assert "was here" in answer.stdout
    assert json.loads(cleanplate("weights", "fetch", "lama", "--json").stdout)["fetched"] is False


def test_another_file_of_the_name_is_kept_unless_told_otherwise(cleanplate, server, here) -> None:
    here.write_bytes(b"mine")

    refused = cleanplate("weights", "fetch", "big-lama.pt")
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert here.read_bytes() == b"mine"

    assert cleanplate("weights", "fetch", "big-lama.pt", "--force").exit_code == 0
    assert here.read_bytes() == server.content


@pytest.mark.usefixtures("published")
def test_a_wrong_file_is_not_kept_and_the_json_says_so(cleanplate, server, folder) -> None:
    server.content = server.content[:-1] + b"!"

    answer = cleanplate("weights", "fetch", "big-lama.pt", "--json")

    error = json.loads(answer.stdout)["error"]
    assert (answer.exit_code, error["reason"], error["transient"]) == (1, "download", False)
    assert "nothing of it was kept" in error["message"]
    assert list(folder.iterdir()) == []


def test_where_no_hash_is_published_the_answer_says_so(cleanplate, published, monkeypatch) -> None:
    use(monkeypatch, replace(published, sha256=""))

    assert "its SHA-256 is not published" in cleanplate("weights", "fetch", "big-lama.pt").stdout
    assert "its SHA-256 is not published" in cleanplate("weights", "check", "big-lama.pt").stdout


@pytest.mark.usefixtures("published")
def test_an_interrupt_says_what_is_kept_and_the_same_command_goes_on(cleanplate, server, folder, monkeypatch) -> None:
    half = len(server.content) // 2
    server.cuts = [half]

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(app_weights, "download", partial(downloads.download, pause=interrupt))
        stopped = cleanplate("weights", "fetch", "big-lama.pt")
    assert stopped.exit_code == 130
    assert "the same command goes on" in stopped.stderr
    assert (folder / "big-lama.pt.part").stat().st_size == half

    assert cleanplate("weights", "fetch", "big-lama.pt").exit_code == 0
    assert server.ranges == [None, f"bytes={half}-"]


@pytest.mark.usefixtures("published")
def test_a_checkpoint_that_goes_first_is_named(cleanplate, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CLEANPLATE_LAMA_CHECKPOINT", str(tmp_path / "mine.pt"))

    answer = cleanplate("weights", "fetch", "big-lama.pt")

    assert answer.exit_code == 0
    assert "CLEANPLATE_LAMA_CHECKPOINT names" in answer.stderr


@pytest.mark.usefixtures("published")
def test_a_folder_that_cannot_be_made_is_named_with_its_setting(cleanplate, tmp_path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CLEANPLATE_WEIGHTS_DIR", str(tmp_path / "file" / "weights"))

    answer = cleanplate("weights", "fetch", "big-lama.pt")

    assert answer.exit_code == 1
    assert "set CLEANPLATE_WEIGHTS_DIR" in answer.stderr


@pytest.mark.usefixtures("published")
def test_the_data_directory_is_made_for_its_owner_alone(cleanplate, folder) -> None:
    cleanplate("weights", "fetch", "big-lama.pt")

    assert folder.parent.stat().st_mode & 0o777 == 0o700


# check


def test_where_nothing_is_there_is_nothing_to_check(cleanplate) -> None:
    answer = cleanplate("weights", "check")

    assert answer.exit_code == 0
    assert answer.stdout.startswith("No weights are here.")
    assert json.loads(cleanplate("weights", "check", "--json").stdout) == {"ok": True, "checks": []}


def test_right_weights_are_read_and_counted(cleanplate, here) -> None:
    answer = cleanplate("weights", "check")

    assert answer.exit_code == 0, answer.output
    assert answer.stdout == f"✓ big-lama.pt  {here}: SHA-256 as published; tensors that can be read: 1\n"


def test_weights_that_are_asked_for_and_not_here_fail(cleanplate) -> None:
    answer = cleanplate("weights", "check", "big-lama.pt")

    assert answer.exit_code == 1
    assert answer.stdout.splitlines() == [
        "✗ big-lama.pt  is not on this machine",
        "  → Fetch it: cleanplate weights fetch big-lama.pt",
    ]


def test_a_damaged_file_fails_with_what_mends_it(cleanplate, here) -> None:
    here.write_bytes(here.read_bytes()[:-1] + b"!")

    answer = cleanplate("weights", "check", "--json")

    (check,) = json.loads(answer.stdout)["checks"]
    assert (answer.exit_code, check["outcome"]) == (1, "failed")
    assert "instead of" in check["message"]
    assert check["remedy"] == "Fetch it: cleanplate weights fetch big-lama.pt --force"


def test_a_short_file_fails_by_its_size(cleanplate, here, published) -> None:
    here.write_bytes(b"short")

    answer = cleanplate("weights", "check", "big-lama.pt")

    assert answer.exit_code == 1
    assert f"has 5 bytes instead of {published.size_bytes:,}" in answer.stdout


def test_what_was_published_but_holds_no_tensors_fails(cleanplate, here, published, monkeypatch) -> None:
    content = b"\x00" * published.size_bytes
    here.write_bytes(content)
    use(monkeypatch, replace(published, sha256=hashlib.sha256(content).hexdigest()))

    answer = cleanplate("weights", "check")

    assert answer.exit_code == 1
    assert "neither safetensors nor" in answer.stdout


@pytest.mark.usefixtures("published")
def test_another_form_of_the_weights_is_only_read(cleanplate, folder) -> None:
    best = folder / "big-lama" / "models" / "best.ckpt"
    best.parent.mkdir(parents=True)
    best.write_bytes(other_checkpoint())

    answer = cleanplate("weights", "check")

    assert answer.exit_code == 0
    assert f"{best}: in another form than big-lama.pt, so its SHA-256 is not known" in answer.stdout


@pytest.mark.usefixtures("published")
def test_a_checkpoint_of_one_s_own_is_read_too(cleanplate, tmp_path, monkeypatch) -> None:
    mine = tmp_path / "mine.pt"
    mine.write_bytes(other_checkpoint())
    monkeypatch.setenv("CLEANPLATE_LAMA_CHECKPOINT", str(mine))

    answer = cleanplate("weights", "check")

    assert answer.exit_code == 0
    assert f"✓ weights of lama  {mine}: not a published file; tensors that can be read: 1" in answer.stdout


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("content", [None, b"<html>"])
def test_a_checkpoint_that_is_set_and_cannot_be_used_fails(cleanplate, tmp_path, monkeypatch, content) -> None:
    mine = tmp_path / "mine.pt"
    if content is not None:
        mine.write_bytes(content)
    monkeypatch.setenv("CLEANPLATE_LAMA_CHECKPOINT", str(mine))

    answer = cleanplate("weights", "check")

    assert answer.exit_code == 1
    assert "CLEANPLATE_LAMA_CHECKPOINT" in answer.stdout


@pytest.mark.usefixtures("published")
def test_a_damaged_checkpoint_elsewhere_is_mended_by_unsetting_it(cleanplate, tmp_path, monkeypatch) -> None:
    elsewhere = tmp_path / "big-lama.pt"
    elsewhere.write_bytes(b"short")
    monkeypatch.setenv("CLEANPLATE_LAMA_CHECKPOINT", str(elsewhere))

    answer = cleanplate("weights", "check")

    assert answer.exit_code == 1
    assert "and unset CLEANPLATE_LAMA_CHECKPOINT" in answer.stdout


@pytest.mark.usefixtures("published")
def test_the_folder_of_sam2_is_read_where_it_is_found(cleanplate, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "facebook--sam2.1-hiera-tiny"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "sam2_video"}')
    save_file({"one": np.zeros(3, np.float32), "two": np.zeros(1, np.float32)}, folder / "model.safetensors")
    monkeypatch.setenv("CLEANPLATE_WEIGHTS_DIR", str(tmp_path))

    answer = cleanplate("weights", "check")

    assert answer.exit_code == 0
    assert f"✓ weights of sam2  {folder}: sam2_video; not compared" in answer.stdout
    assert "tensors that can be read: 2" in answer.stdout


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    ("kept", "reason"),
    [
        ((), "is not there"),
        (("config.json",), "holds no model.safetensors"),
        (("pytorch_model.bin", "config.json"), "pickle"),
    ],
)
def test_a_folder_of_sam2_that_cannot_be_used_fails(cleanplate, tmp_path, monkeypatch, kept, reason) -> None:
    folder = tmp_path / "some" / "where"
    for name in kept:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    monkeypatch.setenv("CLEANPLATE_SAM2_CHECKPOINT", str(folder))

    answer = cleanplate("weights", "check")

    assert answer.exit_code == 1
    assert reason in answer.stdout
    assert "CLEANPLATE_SAM2_CHECKPOINT" in answer.stdout


def other_checkpoint() -> bytes:
    """The same tensor in a file of another length."""
    file = io.BytesIO(checkpoint())
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("big/version", "3")
    return file.getvalue()
