"""Logs: lines for people on a terminal, JSON otherwise, on standard error; never a secret."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

SECRETS = (
    (re.compile(r'sk_lumen_[0-9A-Za-z]+'), 'sk_lumen_…'),
    (re.compile(r'(?i)\b(bearer|basic)\s+[^\s"\',]+'), r'\1 …'),
    (re.compile(r'(://[^:/@\s]*):[^@/\s]+@'), r'\1:…@'),
    (re.compile(r'(?i)\b((?:[a-z]+_)*(?:password|secret|key|token))=[^\s&]+'), r'\1=…'),
)


def configure(*, level: int = logging.INFO) -> None:
    """Send our own lines and those of the libraries through the same renderer."""
    on_terminal = sys.stderr.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt='%H:%M:%S' if on_terminal else 'iso', utc=not on_terminal),
    ]
    rendering: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if on_terminal
        else [structlog.processors.JSONRenderer(ensure_ascii=False)]
    )
    formatting: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if not on_terminal:
        formatting.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[*formatting, without_secrets, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Uvicorn says each step of its own start and stop; what matters of it is said by us.
    for name in ('uvicorn', 'uvicorn.error', 'peewee.migrations', 'httpx', 'httpx2'):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def without_secrets(logger: Any, name: str, event: EventDict) -> EventDict:
    """Replace whatever looks like a secret in any text of a log line."""
    return {key: _cleaned(value) for key, value in event.items()}


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        for pattern, replacement in SECRETS:
            value = pattern.sub(replacement, value)
    elif isinstance(value, dict):
        return {key: _cleaned(item) for key, item in value.items()}
    elif isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    return value
