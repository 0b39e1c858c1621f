"""Everything that can be set, read once from the environment at start."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AwareDatetime, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cleanplate.errors import SettingsError

PREFIX: Final = "CLEANPLATE_"

NO_ENGINE: Final = "none"
"""What is set where an engine may be missing and is to be."""

_MIN_SECRET_CHARACTERS: Final = 16

_REDIS_SCHEMES: Final = ("redis://", "rediss://", "unix://")

_MIB: Final = 1024 * 1024


class Settings(BaseSettings):
    """The settings of one process.

    A field's environment name is `CLEANPLATE_` and its own in capitals, but for the two that Label Studio's users
    know already.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    label_studio_url: str = Field(
        default="",
        validation_alias="LABEL_STUDIO_URL",
        description="Where Label Studio answers, as http(s)://host:port.",
    )
    label_studio_api_key: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="LABEL_STUDIO_API_KEY",
        description="An access token of a user who may see the projects: a personal access token or a legacy token.",
    )
    data_dir: Path = Field(default=Path(".cleanplate"), description="Where jobs, the ledger and secrets are kept.")

    segmenter: str = Field(default="graphcut", description="Which engine answers clicks.")
    inpainter: str = Field(default="exemplar", description="Which engine fills what is removed.")
    detector: str = Field(
        default="cascade",
        description="Which engine finds what nobody labelled and looks at copies again; none: no engine does.",
    )
    weights_dir: Path | None = Field(
        default=None,
        description="A folder that holds weights under their published names, such as big-lama.pt; "
        "none: weights in the data directory.",
    )
    lama_checkpoint: Path | None = Field(
        default=None, description="The weights of lama, wherever they are: a file, or the authors' folder big-lama."
    )
    sam_checkpoint: Path | None = Field(default=None, description="The weights of sam, wherever they are: a file.")
    sam2_checkpoint: Path | None = Field(
        default=None,
        description="The weights of sam2: a folder of the Hugging Face hub with config.json and model.safetensors, or "
        "its name there, owner/name, if it was fetched to this machine.",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="What engines with weights run on; auto: the GPU if there is one."
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        description="What they compute with; auto: what is faster here. A copy is made anew if it changes.",
    )
    runtime: Literal["auto", "torch", "openvino"] = Field(
        default="auto", description="What computes sam on a processor; auto: OpenVINO if it is installed, else torch."
    )

    batch_detect: str = Field(
        default="",
        description="What the detector is to look for when predictions are retrieved for many tasks, as "
        "face,plate=LABEL; none: only what was drawn is masked.",
    )

    approval: str = Field(
        default="submitted", description="What a copy is made from: submitted, ground_truth or choice:<name>=<value>."
    )
    projects: Annotated[frozenset[int], NoDecode] = Field(
        default=frozenset(),
        description="The ids of the only projects to watch, comma separated; none: all that have a policy.",
    )

    webhook_secret: SecretStr = Field(
        default=SecretStr(""),
        description="What Label Studio's webhook must carry in X-Cleanplate-Secret; empty: one is made and kept.",
    )
    webhook_secret_previous: SecretStr = Field(
        default=SecretStr(""), description="The secret before this one, accepted while it is being changed."
    )
    webhook_secret_previous_until: AwareDatetime | None = Field(
        default=None, description="Until when the previous secret is accepted, as 2026-11-20T12:00:00Z."
    )
    basic_auth_user: str = Field(default="", description="The user Label Studio gives to the ML backend; empty: none.")
    basic_auth_password: SecretStr = Field(default=SecretStr(""), description="The password of that user.")

    allowed_hosts: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(), description="Names the backend may be called by besides localhost, comma separated."
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Other servers images may be fetched from, comma separated, as https://host:port."
    )
    local_files_root: Path | None = Field(
        default=None, description="Label Studio's local files document root, if this machine sees it."
    )

    sweep_interval_s: float = Field(default=60, ge=1, le=3600, description="Seconds between two sweeps.")
    lease_s: float = Field(
        default=60, ge=1, le=3600, description="Seconds until a silent worker's job goes to another."
    )
    max_attempts: int = Field(default=5, ge=1, le=100, description="Starts after which a job is given up.")

    max_image_pixels: int = Field(default=50_000_000, ge=1, le=500_000_000, description="Larger images are refused.")
    max_image_bytes: int = Field(default=64 * _MIB, ge=1, le=1024 * _MIB, description="Larger files are refused.")
    max_body_bytes: int = Field(default=32 * _MIB, ge=1024, le=1024 * _MIB, description="Larger requests are refused.")
    embedding_cache_bytes: int = Field(
        default=512 * _MIB, ge=0, le=1024 * 1024 * _MIB, description="Memory for prepared images."
    )
    embedding_disk_bytes: int = Field(
        default=10 * 1024 * _MIB,
        ge=0,
        le=1024 * 1024 * _MIB,
        description="Room for prepared images in the data directory; 0: none is kept there. Of sam's, one takes 2 MiB; "
        "of sam2's, 8.",
    )
    redis_url: SecretStr = Field(
        default=SecretStr(""),
        description="A Redis over which machines share prepared images, as redis://[user:password@]host:port/number, "
        "rediss:// for TLS; empty: none.",
    )
    embedding_redis_bytes: int = Field(
        default=1024 * _MIB, ge=1, le=1024 * 1024 * _MIB, description="Room for prepared images in Redis."
    )
    embedding_secret: SecretStr = Field(
        default=SecretStr(""),
        description="Names and seals prepared images; needed with Redis, and the same on all machines that are to "
        "share. Empty: a key is made and kept.",
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="What is logged.")
    log_format: Literal["auto", "text", "json"] = Field(
        default="auto", description="How it is logged; auto: text on a terminal, else JSON."
    )

    @field_validator("label_studio_url")
    @classmethod
    def _require_http_url(cls, value: str) -> str:
        return http_address(value) if value else value

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        parts = _split(value)
        return tuple(_origin(part) for part in parts) if parts is not None else value

    @field_validator("projects", "allowed_hosts", mode="before")
    @classmethod
    def _split_set(cls, value: object) -> object:
        parts = _split(value)
        return frozenset(parts) if parts is not None else value

    @field_validator("webhook_secret", "webhook_secret_previous", "embedding_secret")
    @classmethod
    def _require_strong_secret(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if text and (len(text) < _MIN_SECRET_CHARACTERS or not text.isascii() or not text.isprintable()):
            raise ValueError(f"a secret needs at least {_MIN_SECRET_CHARACTERS} printable ASCII characters")
        return value

    @field_validator("redis_url")
    @classmethod
    def _require_redis_url(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if text and not text.startswith(_REDIS_SCHEMES):
            raise ValueError(f"an address of Redis begins with {', '.join(_REDIS_SCHEMES)}")
        return value

    @model_validator(mode="after")
    def _require_pairs(self) -> "Settings":
        if bool(self.basic_auth_user) != bool(self.basic_auth_password.get_secret_value()):
            raise ValueError("basic_auth_user and basic_auth_password are set together or not at all")
        if self.webhook_secret_previous.get_secret_value() and self.webhook_secret_previous_until is None:
            raise ValueError("webhook_secret_previous needs webhook_secret_previous_until")
        if self.redis_url.get_secret_value() and not self.embedding_secret.get_secret_value():
            raise ValueError(
                "CLEANPLATE_REDIS_URL needs CLEANPLATE_EMBEDDING_SECRET: long and random, the same on all machines"
            )
        return self

    def require_label_studio(self) -> None:
        """Raise SettingsError unless Label Studio's address and a token are set."""
        if not self.label_studio_url:
            raise SettingsError("LABEL_STUDIO_URL is not set: give Label Studio's address, as http://localhost:8080")
        if not self.label_studio_api_key.get_secret_value():
            raise SettingsError(
                "LABEL_STUDIO_API_KEY is not set: copy an access token from Label Studio, Account & Settings"
            )


def read_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: A value is out of its bounds, or a `CLEANPLATE_…` name is none of ours. The message names
            the setting and never its value.
    """
    _require_known_names()
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("; ".join(_sentence(problem) for problem in error.errors(include_input=False))) from None


def environment_name(field: str) -> str:
    """The environment variable of a field."""
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else f"{PREFIX}{field.upper()}"


def http_address(text: str) -> str:
    """The address of a server, without a slash at its end.

    Raises:
        ValueError: It is none, or says more than where the server is.
    """
    parts = urlsplit(text)
    says_more = parts.query or parts.fragment or parts.username or parts.password
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0 or says_more:
        raise ValueError("an address is http(s)://host[:port][/path], without user, query or fragment")
    return text.rstrip("/")


def _require_known_names() -> None:
    known = {environment_name(field).removeprefix(PREFIX) for field in Settings.model_fields}
    for name in sorted(os.environ):
        own = name.removeprefix(PREFIX)
        if own == name or own in known:
            continue
        close = difflib.get_close_matches(own, known, n=1)
        hint = f"did you mean {PREFIX}{close[0]}?" if close else "see `cleanplate settings` for those there are"
        raise SettingsError(f"{name} is not a setting of cleanplate: {hint}")


def _sentence(problem: Mapping[str, object]) -> str:
    location = problem["loc"]
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not isinstance(location, tuple) or not location:
        return message
    field = str(location[0])
    return f"{environment_name(field) if field in Settings.model_fields else field}: {message}"


def _split(value: object) -> list[str] | None:
    if not isinstance(value, str):
        return None
    return [part.strip() for part in value.split(",") if part.strip()]


def _origin(url: str) -> str:
    parts = urlsplit(http_address(url))
    if parts.path:
        raise ValueError("an origin is http(s)://host[:port], without a path")
    return f"{parts.scheme}://{parts.netloc.lower()}"
