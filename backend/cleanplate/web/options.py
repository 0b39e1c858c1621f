from dataclasses import dataclass
from typing import ClassVar

from cleanplate.errors import SettingsError
from cleanplate.web.credentials import BasicAuth, WebhookSecrets


@dataclass(frozen=True)
class WebOptions:
    """How the HTTP side behaves.

    Attributes:
        webhook_secrets: what `/webhook` asks for.
        basic_auth: what all but the probes and the webhook ask for; None lets everybody in who can reach the port.
        allowed_hosts: names this server may be called by, on top of those that are always right; see Admission.
        max_body_bytes: larger requests are refused.
        predictions: so many clicks are in the house at a time, most of them waiting; the next is told to come again.
    """

    SPARE_THREADS: ClassVar[int] = 12
    """Threads that no prediction can ever hold: they answer health, setup, webhooks and people."""

    webhook_secrets: WebhookSecrets
    basic_auth: BasicAuth | None = None
    allowed_hosts: frozenset[str] = frozenset()
    max_body_bytes: int = 32 * 1024 * 1024
    predictions: int = 18

    def __post_init__(self) -> None:
        if self.predictions < 1 or self.max_body_bytes < 1:
            raise SettingsError("at least one prediction must be able to run, and a body to be read")

    @property
    def threads(self) -> int:
        """How many requests are worked on at the same time."""
        return self.predictions + self.SPARE_THREADS
