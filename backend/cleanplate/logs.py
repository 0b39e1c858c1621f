"""How log lines look. What may be in them is every caller's care: no images, tokens, signed URLs or source names."""

import logging
import sys
from typing import Literal

import structlog


def configure_logs(*, level: str, style: Literal["auto", "text", "json"]) -> None:
    """Send every log line, ours and other libraries', to standard error.

    Args:
        level: debug, info, warning or error.
        style: auto is text on a terminal and one JSON object a line elsewhere.
    """
    text = style == "text" or (style == "auto" and sys.stderr.isatty())
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # structlog's own choice shows the values of local variables: images, tokens and names of sources among them.
    for_people = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    renderer: structlog.types.Processor = for_people if text else structlog.processors.JSONRenderer()
    tracebacks: list[structlog.types.Processor] = [] if text else [structlog.processors.format_exc_info]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tracebacks, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # urllib3 logs whole addresses, queries and names of sources included, also when it only tries one again.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
