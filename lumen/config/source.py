"""The configuration in force: loaded at start, read again when the file changes, never replaced by a bad one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import structlog

from lumen.config import secrets
from lumen.config.reading import read
from lumen.config.settings import Settings
from lumen.errors import ConfigurationError

log = structlog.get_logger()

Stamp = tuple[int, int, int] | None


class Configuration:
    """`current` is always good. `faults` are those of the file as it is now: empty when it is the one in force."""

    def __init__(self, path: Path, environment: Mapping[str, str], directory: Path = secrets.DIRECTORY):
        self.path = path
        self.current: Settings
        self.faults: tuple[str, ...] = ()
        self.warnings: tuple[str, ...] = ()
        self._environment = dict(environment)
        self._directory = directory
        self._stamp = self._look()
        loaded = read(path, self._environment)
        self.current = secrets.complete(loaded.settings, directory)
        self.warnings = loaded.warnings
        for warning in self.warnings:
            log.warning('configuration', warning=warning)

    @classmethod
    def load(cls, path: Path, environment: Mapping[str, str], directory: Path = secrets.DIRECTORY) -> Configuration:
        """Read the file for the first time. Raises ConfigurationError that names every fault."""
        return cls(path, environment, directory)

    def reload_if_changed(self) -> bool:
        """Read the file again when it changed; whether new settings came into force.

        A bad file is refused: what was in force stays, and `faults` says why. Reads the disk: not for the event loop.
        """
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            loaded = read(self.path, self._environment)
            settings = secrets.complete(loaded.settings, self._directory)
        except ConfigurationError as error:
            self.faults = tuple(error.message.splitlines())
            for fault in self.faults:
                log.error('the changed configuration is not used', fault=fault)
            return False
        kept, restart = _keep_what_needs_a_restart(self.current, settings)
        self.current = kept
        self.faults = ()
        self.warnings = loaded.warnings + restart
        for warning in self.warnings:
            log.warning('configuration', warning=warning)
        log.info('configuration reloaded', file=str(self.path))
        return True

    async def watch(self, interval_seconds: float = 1.0) -> None:
        """Look for changes until cancelled."""
        while True:
            await asyncio.sleep(interval_seconds)
            await asyncio.to_thread(self.reload_if_changed)

    def _look(self) -> Stamp:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


def _keep_what_needs_a_restart(old: Settings, new: Settings) -> tuple[Settings, tuple[str, ...]]:
    warnings = []
    keep: dict[str, object] = {}
    for name in ('secret_key', 'encryption_key', 'database'):
        before: object = getattr(old.app, name)
        if before != getattr(new.app, name):
            keep[name] = before
            warnings.append(f'app.{name} changed: that takes effect at the next start')
    return new.model_copy(update={'app': new.app.model_copy(update=keep)}), tuple(warnings)
