import os
import stat
import subprocess
import sys
from pathlib import Path
from threading import Timer

import pytest

from cleanplate.app.application import Application
from cleanplate.app.choices import weights_for
from cleanplate.engines.weights import Weights
from cleanplate.errors import EngineUnknownError, SettingsError, StorageUnavailableError
from cleanplate.settings import read_settings
from cleanplate.storage.ledger import StoredFile


@pytest.mark.usefixtures("label_studio")
def test_a_part_is_made_once_and_then_kept(application) -> None:
    made = application()

    assert made.client is made.client
    assert made.predictor is made.predictor
    assert made.copy_maker is made.copy_maker


def test_parts_get_what_the_settings_say(application, label_studio) -> None:
    made = application(
        CLEANPLATE_APPROVAL="choice:ok=yes", CLEANPLATE_MAX_IMAGE_PIXELS="1000", CLEANPLATE_MAX_IMAGE_BYTES="2000"
    )

    assert made.client.url == label_studio.url
    assert str(made.approval) == "choice:ok=yes"
    assert (made.limits.max_pixels, made.limits.max_bytes) == (1000, 2000)
    assert made.segmenter.version.startswith("graphcut")
    assert made.inpainter.version.startswith("exemplar")


def test_nothing_is_written_before_a_part_needs_the_data_directory(application, tmp_path) -> None:
    application()

    assert not (tmp_path / "data").exists()


def test_the_data_directory_and_its_secrets_are_for_their_owner_alone(application, tmp_path) -> None:
    made = application()

    assert made.webhook_secret
    assert made.names
    assert made.queue.counts()

    modes = {path.relative_to(tmp_path).as_posix(): mode_of(path) for path in sorted((tmp_path / "data").rglob("*"))}
    assert mode_of(tmp_path / "data") == 0o700
    assert modes.pop("data/secrets") == 0o700
    assert {"data/secrets/names.key", "data/secrets/webhook.key", "data/jobs.sqlite3"} <= modes.keys()
    assert set(modes.values()) == {0o600}


def test_a_made_secret_is_the_same_in_two_processes(application) -> None:
    code = "from cleanplate.app.application import Application; from cleanplate.settings import read_settings; "
    code += "print(Application(read_settings()).webhook_secret)"

    elsewhere = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()

    assert application().webhook_secret == elsewhere
    assert len(elsewhere) == 64


def test_a_given_secret_is_used_and_none_is_made(application, tmp_path) -> None:
    made = application(CLEANPLATE_WEBHOOK_SECRET="given-" * 4)

    assert made.webhook_secret == "given-" * 4
    assert not (tmp_path / "data").exists()


def test_a_data_directory_that_cannot_be_made_is_named_with_its_setting(application, tmp_path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageUnavailableError, match="CLEANPLATE_DATA_DIR") as caught:
        _ = application(CLEANPLATE_DATA_DIR=str(tmp_path / "file" / "data")).queue

    assert str(tmp_path / "file" / "data") in str(caught.value)


def test_an_approval_that_means_nothing_names_its_setting(application) -> None:
    with pytest.raises(SettingsError, match=r"CLEANPLATE_APPROVAL.*'whenever'"):
        _ = application(CLEANPLATE_APPROVAL="whenever").approval


def test_an_engine_that_nobody_knows_is_an_error_that_names_those_there_are(application) -> None:
    with pytest.raises(EngineUnknownError, match=r"'magic'.*opencv"):
        _ = application(CLEANPLATE_INPAINTER="magic").inpainter


def test_an_engine_s_weights_come_from_the_settings(tmp_path, application) -> None:
    settings = application(
        CLEANPLATE_LAMA_CHECKPOINT=str(tmp_path / "lama.pt"),
        CLEANPLATE_SAM_CHECKPOINT=str(tmp_path / "sam.pth"),
        CLEANPLATE_SAM2_CHECKPOINT="facebook/sam2.1-hiera-tiny",
        CLEANPLATE_WEIGHTS_DIR=str(tmp_path),
        CLEANPLATE_DEVICE="cpu",
        CLEANPLATE_PRECISION="fp32",
        CLEANPLATE_RUNTIME="torch",
    ).settings

    assert weights_for("lama", settings) == Weights(tmp_path / "lama.pt", tmp_path, "cpu", "fp32", "torch")
    assert weights_for("sam", settings) == Weights(tmp_path / "sam.pth", tmp_path, "cpu", "fp32", "torch")
    assert weights_for("sam2", settings) == Weights(
        Path("facebook/sam2.1-hiera-tiny"), tmp_path, "cpu", "fp32", "torch"
    )
    assert weights_for("another", settings) == Weights(None, tmp_path, "cpu", "fp32", "torch")


REDIS = {"CLEANPLATE_REDIS_URL": "redis://127.0.0.1:1/0", "CLEANPLATE_EMBEDDING_SECRET": "e" * 20}


def test_machines_with_the_same_secret_call_an_image_the_same_and_others_do_not(application, tmp_path) -> None:
    def name_on(machine: str, **settings: str) -> str:
        made = application(CLEANPLATE_DATA_DIR=str(tmp_path / machine), **settings)
        return made.shelf.content_of(b"photograph")

    names = [
        name_on("a", **REDIS),
        name_on("b", **REDIS),
        name_on("c", **REDIS | {"CLEANPLATE_EMBEDDING_SECRET": "o" * 20}),
    ]

    assert names[0] == names[1] != names[2]


def test_a_cluster_that_lacks_the_library_of_redis_says_how_to_install_it(application, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "cleanplate.engines.embedding_redis", raising=False)

    with pytest.raises(SettingsError, match=r"redis: pip install 'cleanplate\[redis\]'"):
        _ = application(**REDIS).shelf


def test_an_address_of_redis_that_cannot_be_read_is_not_shown(application) -> None:
    with pytest.raises(SettingsError, match="CLEANPLATE_REDIS_URL cannot be read") as caught:
        _ = application(**REDIS | {"CLEANPLATE_REDIS_URL": "redis://user:hunter2@redis.example:port/0"}).shelf

    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.usefixtures("label_studio")
def test_another_detector_makes_other_copies_so_it_is_part_of_what_jobs_are_called_by(application) -> None:
    with_one, without = application(), application(CLEANPLATE_DETECTOR="none")

    assert with_one.detector is not None
    assert with_one.approvals._engine == f"{with_one.inpainter.version}; {with_one.detector.version}"
    assert without.approvals._engine == without.inpainter.version
    assert with_one.copy_maker._detector is with_one.detector


def test_without_label_studio_s_address_there_is_no_client(application) -> None:
    with pytest.raises(SettingsError, match="LABEL_STUDIO_URL"):
        _ = application().client


@pytest.mark.usefixtures("label_studio")
def test_closing_an_application_without_a_predictor_makes_none() -> None:
    made = Application(read_settings())

    made.close()

    assert "predictor" not in vars(made)


def test_who_works_also_takes_away_what_jobs_left_behind(application, label_studio, monkeypatch) -> None:
    made = application()
    project = label_studio.add_project("<View/>")
    name = f"{'a' * 32}.png"
    label_studio.add_upload(project, name, b"abc")
    made.ledger.note_file(StoredFile(name, "copy", "job", made.client.url, project))
    stops = []
    monkeypatch.setattr("cleanplate.app.application.stop_on_signals", stops.append)

    def stop(method: str, _: str) -> None:
        if method == "DELETE":
            stops[0].set()

    label_studio.before = stop
    at_the_latest = Timer(30, stop, ("DELETE", ""))
    made.work(at_the_latest.start)
    at_the_latest.cancel()

    assert label_studio.uploads == {}
    assert made.ledger.noted_files() == []


def mode_of(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
