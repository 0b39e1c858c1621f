"""`serve` and `work`: the two processes that run all the time."""

from typing import TYPE_CHECKING, Annotated

import typer

from cleanplate.cli.output import err, errors_as_sentences
from cleanplate.cli.start import settings_of_service

if TYPE_CHECKING:
    from cleanplate.app.application import Application
    from cleanplate.web.options import WebOptions


def add_to(app: typer.Typer) -> None:
    """Give *app* the commands `serve` and `work`."""
    app.command()(serve)
    app.command()(work)


def serve(
    *,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Listen on it. Addresses that others reach need basic auth.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65_535, help="Listen on it; 0 takes a free one.")] = (
        9090
    ),
) -> None:
    """Answer Label Studio: clicks and webhooks.

    There is a page for people at /status. Ctrl-C stops it.
    """
    with errors_as_sentences():
        settings = settings_of_service()
        from cleanplate.app.application import Application  # noqa: PLC0415  (the command line starts fast)
        from cleanplate.app.services import WebServices  # noqa: PLC0415
        from cleanplate.web.app import create_app  # noqa: PLC0415
        from cleanplate.web.server import serve as serve_app  # noqa: PLC0415

        application = Application(settings)
        try:
            app = create_app(WebServices(application), _web_options(application))
            application.erasure_watch.start()
            serve_app(app, host=host, port=port, ready=_say_where)
        finally:
            application.close()


def work() -> None:
    """Make clean copies of what people approve.

    Asks Label Studio every minute what was approved, and looks at once where a webhook points.
    Does one job after the other; Ctrl-C stops it when the one at hand is done.
    """
    with errors_as_sentences():
        settings = settings_of_service()
        from cleanplate.app.application import Application  # noqa: PLC0415  (the command line starts fast)

        Application(settings).work(ready=_say_that_it_waits)


def _say_where(url: str) -> None:
    if err.is_terminal:
        err.print(f"[green]✓[/green] cleanplate answers at [bold]{url}[/bold]  (Ctrl-C stops it)")


def _say_that_it_waits() -> None:
    if err.is_terminal:
        err.print("[green]✓[/green] waiting for approved annotations  (Ctrl-C stops it)")


def _web_options(application: "Application") -> "WebOptions":
    from cleanplate.web.credentials import BasicAuth, WebhookSecrets  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.web.options import WebOptions  # noqa: PLC0415

    settings = application.settings
    user, password = application.basic_auth
    return WebOptions(
        webhook_secrets=WebhookSecrets(
            current=application.webhook_secret,
            previous=settings.webhook_secret_previous.get_secret_value(),
            previous_until=settings.webhook_secret_previous_until,
        ),
        basic_auth=BasicAuth(user, password) if user else None,
        allowed_hosts=settings.allowed_hosts,
        max_body_bytes=settings.max_body_bytes,
    )
