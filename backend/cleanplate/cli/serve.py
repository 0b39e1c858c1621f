"""`serve` and `work`: the two processes that run all the time."""

from typing import TYPE_CHECKING, Annotated

import typer

from cleanplate.cli.output import err, errors_as_sentences

if TYPE_CHECKING:
    from cleanplate.app.application import Application
    from cleanplate.web.options import WebOptions


def add_to(app: typer.Typer) -> None:
    """Give *app* the commands `serve` and `work`."""
    app.command()(serve)
    app.command()(work)


def serve(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on; others than this machine's need basic auth.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port to listen on; 0 takes a free one.")] = 9090,
) -> None:
    """Answer Label Studio: clicks, webhooks, and a status page at /status."""
    with errors_as_sentences():
        application = _ready_application()
        from cleanplate.app.services import WebServices  # noqa: PLC0415
        from cleanplate.web.app import create_app  # noqa: PLC0415  (the command line starts fast)
        from cleanplate.web.server import serve as serve_app  # noqa: PLC0415

        serve_app(
            create_app(WebServices(application), _web_options(application)),
            host=host,
            port=port,
            ready=lambda url: err.print(
                f"[green]✓[/green] cleanplate answers at [bold]{url}[/bold]  (Ctrl-C stops it)"
            ),
        )


def work() -> None:
    """Make clean copies: ask Label Studio what was approved, and do one job after the other."""
    with errors_as_sentences():
        application = _ready_application()
        err.print("[green]✓[/green] waiting for approved annotations  (Ctrl-C stops)")
        application.work()


def _ready_application() -> "Application":
    from cleanplate.app.application import Application  # noqa: PLC0415
    from cleanplate.logs import configure_logs  # noqa: PLC0415
    from cleanplate.settings import read_settings  # noqa: PLC0415

    settings = read_settings()
    settings.require_label_studio()
    configure_logs(level=settings.log_level, style=settings.log_format)
    return Application(settings)


def _web_options(application: "Application") -> "WebOptions":
    from cleanplate.web.credentials import BasicAuth, WebhookSecrets  # noqa: PLC0415
    from cleanplate.web.options import WebOptions  # noqa: PLC0415

    settings = application.settings
    user, password = application.basic_auth
    return WebOptions(
        webhook_secrets=WebhookSecrets(
            current=application.webhook_secret,
            previous=settings.webhook_secret_previous.get_secret_value(),
            previous_until=settings.previous_secret_end,
        ),
        basic_auth=BasicAuth(user, password) if user else None,
        allowed_hosts=settings.allowed_hosts,
        max_body_bytes=settings.max_body_bytes,
    )
