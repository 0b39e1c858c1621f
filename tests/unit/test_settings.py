import os
from datetime import UTC, datetime

import pytest

from cleanplate.errors import SettingsError
from cleanplate.settings import PREFIX, Settings, environment_name, read_settings


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith((PREFIX, "LABEL_STUDIO_")):
            monkeypatch.delenv(name)


def settings_from(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return read_settings()


def test_without_any_environment_the_defaults_hold() -> None:
    settings = read_settings()

    assert settings.segmenter == "graphcut"
    assert settings.inpainter == "exemplar"
    assert settings.max_image_pixels == 50_000_000


def test_the_two_names_label_studio_users_know_are_read_without_a_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_from(
        monkeypatch, {"LABEL_STUDIO_URL": "http://localhost:8080/", "LABEL_STUDIO_API_KEY": "token"}
    )

    assert settings.label_studio_url == "http://localhost:8080"
    assert settings.label_studio_api_key.get_secret_value() == "token"
    settings.require_label_studio()


def test_a_misspelt_name_stops_the_start_and_names_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"CLEANPLATE_SEGMENTOR is not .* did you mean CLEANPLATE_SEGMENTER"):
        settings_from(monkeypatch, {"CLEANPLATE_SEGMENTOR": "sam"})


def test_a_name_like_none_of_ours_points_to_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="cleanplate settings"):
        settings_from(monkeypatch, {"CLEANPLATE_XYZZY": "1"})


def test_an_empty_value_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_from(monkeypatch, {"CLEANPLATE_SEGMENTER": ""}).segmenter == "graphcut"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLEANPLATE_LEASE_S", "0"),
        ("CLEANPLATE_LEASE_S", "soon"),
        ("CLEANPLATE_MAX_ATTEMPTS", "0"),
        ("CLEANPLATE_LOG_LEVEL", "loud"),
        ("CLEANPLATE_PROJECTS", "1,two"),
        ("CLEANPLATE_WEBHOOK_SECRET", "short"),
        ("CLEANPLATE_WEBHOOK_SECRET", "sécrét-sécrét-sécrét"),
        ("CLEANPLATE_EMBEDDING_SECRET", "short"),
        ("CLEANPLATE_REDIS_URL", "http://user:hunter2@redis.example"),
        ("CLEANPLATE_ALLOWED_ORIGINS", "ftp://images.example"),
        ("CLEANPLATE_ALLOWED_ORIGINS", "https://images.example/some/path"),
        ("LABEL_STUDIO_URL", "localhost:8080"),
        ("LABEL_STUDIO_URL", "http://user:password@localhost:8080"),
        ("LABEL_STUDIO_URL", "http://localhost:99999"),
        ("LABEL_STUDIO_URL", "http://[::1"),
        ("CLEANPLATE_WEBHOOK_SECRET_PREVIOUS_UNTIL", "2026-11-20T12:00:00"),
    ],
)
def test_a_value_out_of_its_bounds_names_the_setting_but_not_the_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_from(monkeypatch, {name: value})

    assert name in str(caught.value)
    if name.endswith(("SECRET", "REDIS_URL")):
        assert value not in str(caught.value)
        assert "hunter2" not in str(caught.value)


def test_lists_are_comma_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_from(
        monkeypatch,
        {"CLEANPLATE_PROJECTS": "3, 5,", "CLEANPLATE_ALLOWED_ORIGINS": "https://A.example, http://b.example:81"},
    )

    assert settings.projects == {3, 5}
    assert settings.allowed_origins == ("https://a.example", "http://b.example:81")


def test_half_of_the_basic_auth_pair_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="together"):
        settings_from(monkeypatch, {"CLEANPLATE_BASIC_AUTH_USER": "label-studio"})


def test_a_previous_secret_needs_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"CLEANPLATE_WEBHOOK_SECRET_PREVIOUS": "a" * 32}
    with pytest.raises(SettingsError, match="previous_until"):
        settings_from(monkeypatch, environment)

    settings = settings_from(
        monkeypatch, environment | {"CLEANPLATE_WEBHOOK_SECRET_PREVIOUS_UNTIL": "2026-11-20T12:00:00Z"}
    )

    assert settings.webhook_secret_previous_until == datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_redis_needs_a_secret_that_all_machines_have(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"CLEANPLATE_REDIS_URL": "redis://user:hunter2@redis.example"}
    with pytest.raises(SettingsError, match="CLEANPLATE_EMBEDDING_SECRET"):
        settings_from(monkeypatch, environment)

    settings = settings_from(monkeypatch, environment | {"CLEANPLATE_EMBEDDING_SECRET": "e" * 20})

    assert "hunter2" not in repr(settings)
    assert "e" * 20 not in repr(settings)


@pytest.mark.parametrize("missing", ["LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"])
def test_what_needs_label_studio_says_which_setting_is_missing(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    environment = {"LABEL_STUDIO_URL": "http://localhost:8080", "LABEL_STUDIO_API_KEY": "token"}
    del environment[missing]

    with pytest.raises(SettingsError, match=missing):
        settings_from(monkeypatch, environment).require_label_studio()


def test_every_setting_has_a_sentence() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, environment_name(name)
        assert field.description.endswith("."), environment_name(name)


def test_secrets_do_not_show_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_from(
        monkeypatch, {"LABEL_STUDIO_API_KEY": "very-secret", "CLEANPLATE_WEBHOOK_SECRET": "s" * 20}
    )

    assert "very-secret" not in repr(settings)
    assert "s" * 20 not in repr(settings)
