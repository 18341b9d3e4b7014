"""Portkey's gateway as a peer: it relays, with no keys of its own, budgets or records.

It is no dependency of Lumen. It needs Node.js, and is installed (`npm install`) from a `package.json` with

    {"dependencies": {"@portkey-ai/gateway": "1.15.2"}, "overrides": {"@hono/node-server": "1.3.3"}}

With later releases of what the override names, it answers every stream with an error 500.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

MISSING = 'which is not installed (`bench/portkey.py` says how)'


def find(stated: str) -> Path | None:
    """The program in the package's folder, where it was stated to be; None when it or Node.js is not there."""
    program = Path(stated) / 'build' / 'start-server.js'
    return program if stated and program.is_file() and shutil.which('node') else None


def version_of(program: Path) -> str:
    """As its package says."""
    return str(json.loads((program.parents[1] / 'package.json').read_text())['version'])


def command(program: Path, port: int) -> list[str]:
    """Serve on `port`, without its page."""
    return ['node', str(program), f'--port={port}', '--headless']


def head(directory: Path, upstream: int) -> Path:
    """The file with what each call says in its head: which model server it is for."""
    path = directory / 'portkey-head'
    path.write_bytes(
        f'x-portkey-provider: openai\r\nx-portkey-custom-host: http://127.0.0.1:{upstream}/v1\r\n'.encode()
    )
    return path
