"""Logs: lines for people on a terminal, JSON otherwise, on standard error; never a secret, nor a forged line."""

from __future__ import annotations

import logging
import re
import sys
import traceback
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor

from lumen.visible import visible

SECRETS = (
    (re.compile(r'sk_lumen_[0-9A-Za-z]+'), 'sk_lumen_…'),
    (re.compile(r'(?i)\b(bearer|basic)\s+[^\s"\',]+'), r'\1 …'),
    (re.compile(r'(://[^:/@\s]*):[^@/\s]+@'), r'\1:…@'),
    (re.compile(r'(?i)\b((?:[a-z]+_)*(?:password|secret|key|token|session))=[^\s&;]+'), r'\1=…'),
    (re.compile(r"""(?i)(['"](?:[a-z]+_)*(?:password|secret|key|token)['"]\s*:\s*)(['"])[^'"]+"""), r'\1\2…'),
)
OF_STRUCTLOG = frozenset({'exc_info', 'stack_info', '_record', '_from_structlog'})
MULTILINE = frozenset({'exception', 'stack'})


def configure(*, level: int = logging.INFO) -> None:
    """Send our own lines and those of the libraries through the same renderer."""
    on_terminal = sys.stderr.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt='%H:%M:%S' if on_terminal else 'iso', utc=not on_terminal),
    ]
    rendering: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=_indented)]
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
            processors=[*formatting, safe, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Uvicorn says each step of its own start and stop; what matters of it is said by us.
    for name in ('uvicorn', 'uvicorn.error', 'peewee.migrations', 'httpx', 'httpx2'):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def safe(logger: Any, name: str, event: EventDict) -> EventDict:
    """Replace whatever looks like a secret, and show what would begin a line or steer a terminal."""
    return {key: value if key in OF_STRUCTLOG else _safe(value, key in MULTILINE) for key, value in event.items()}


def _safe(value: Any, lines: bool = False) -> Any:
    if isinstance(value, str):
        for pattern, replacement in SECRETS:
            value = pattern.sub(replacement, value)
        return visible(value, lines=lines)
    if isinstance(value, dict):
        return {key: _safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_safe(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else _safe(repr(value))


def _indented(stream: TextIO, info: ExcInfo) -> None:
    """A traceback for a terminal, none of whose lines can pass for a line of the log."""
    text = ''.join(traceback.format_exception(*info))
    stream.write('\n' + '\n'.join(f'    {line}' for line in _safe(text, lines=True).split('\n')))
