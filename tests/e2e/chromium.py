"""A Chromium for the browser tests: one that is there already, else the distribution's, else Playwright's own.

`python -m tests.e2e.chromium` installs one when none is there; `make test` does so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
MACOS = Path('/Applications/Google Chrome.app/Contents/MacOS/Google Chrome')
FLAGS = (
    '--no-sandbox',
    '--disable-gpu',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--no-first-run',
)


def find() -> str | None:
    """The path of a Chromium that starts, None when there is none."""
    return next((path for path in _candidates() if _starts(path)), None)


def install() -> None:
    """Install one: with the package manager when we may, into Playwright's own folder otherwise."""
    sys.stdout.write('Installing a Chromium for the browser tests ...\n')
    sys.stdout.flush()
    if os.geteuid() == 0 and shutil.which('apt-get'):
        environment = os.environ | {'DEBIAN_FRONTEND': 'noninteractive'}
        command = ['apt-get', 'install', '-y', '-qq', '--no-install-recommends', 'chromium']
        if subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False).returncode:
            subprocess.run(['apt-get', 'update', '-qq'], env=environment, check=False)
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
        if find():
            return
    subprocess.run([sys.executable, '-m', 'playwright', 'install', 'chromium'], check=False)


def _candidates() -> Iterator[str]:
    yield from filter(None, map(shutil.which, NAMES))
    if MACOS.exists():
        yield str(MACOS)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    if Path(path).exists():
        yield path


def _starts(path: str) -> bool:
    # Ubuntu's `chromium` may be a stub that only says how to get the snap.
    try:
        return subprocess.run([path, '--version'], capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def main() -> None:
    if find():
        return
    install()
    if not find():
        sys.exit('The browser tests need a Chromium, and none could be installed. Install one and try again.')


if __name__ == '__main__':
    main()
