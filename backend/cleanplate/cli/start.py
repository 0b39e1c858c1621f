"""How every command that needs settings begins."""

from typing import TYPE_CHECKING

from cleanplate.errors import SettingsError

if TYPE_CHECKING:
    from cleanplate.settings import Settings


def settings_of_command() -> "Settings":
    """Read the settings, for a command that answers a person.

    What it finds it says itself, so only what was asked for by CLEANPLATE_LOG_LEVEL is logged, and errors.

    Raises:
        SettingsError: One is wrong.
    """
    from cleanplate.logs import configure_logs  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.settings import read_settings  # noqa: PLC0415

    settings = read_settings()
    asked = "log_level" in settings.model_fields_set
    configure_logs(level=settings.log_level if asked else "error", style=settings.log_format)
    return settings


def settings_of_service() -> "Settings":
    """Read the settings, for a command that runs all the time and works for Label Studio.

    Raises:
        SettingsError: One is wrong, or Label Studio's address or token is missing.
    """
    from cleanplate.logs import configure_logs  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.settings import read_settings  # noqa: PLC0415

    settings = read_settings()
    settings.require_label_studio()
    configure_logs(level=settings.log_level, style=settings.log_format)
    return settings


def address(text: str) -> str:
    """An option that says where a server is, without a slash at its end.

    Raises:
        SettingsError: It is no address.
    """
    from cleanplate.settings import http_address  # noqa: PLC0415  (the command line starts fast)

    try:
        return http_address(text)
    except ValueError as error:
        raise SettingsError(f"--backend-url {text!r}: {error}") from None
