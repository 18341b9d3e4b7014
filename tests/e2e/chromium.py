"""A Chromium for the browser tests: one that is there already, else the distribution's, else Playwright's own.

`python -m tests.e2e.chromium` installs one when none is there; `make test` does so. Where the distribution has the one
without windows (`chromium-headless-shell`), that is preferred, as it is by Playwright: the same tests cost it an eighth
less processor time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SHELL = 'chromium-headless-shell'
NAMES = (SHELL, 'chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
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
    _say('Installing a Chromium for the browser tests ...')
    if _may_install():
        wanted = ('install', '-y', '--no-install-recommends')
        if not (_apt(*wanted, SHELL) or _apt(*wanted, 'chromium')):
            _apt('update')
            if not _apt(*wanted, SHELL):
                _apt(*wanted, 'chromium')
        if find():
            return
    subprocess.run([sys.executable, '-m', 'playwright', 'install', 'chromium'], check=False)


def install_shell() -> None:
    """Beside a Chromium that is there, the one that is cheaper to test with, where it can be had at once."""
    if _may_install() and not shutil.which(SHELL) and _apt('install', '-y', '--no-install-recommends', SHELL):
        _say(f'Installed {SHELL} for the browser tests.')


def _may_install() -> bool:
    return os.geteuid() == 0 and shutil.which('apt-get') is not None


def _apt(*arguments: str) -> bool:
    environment = os.environ | {'DEBIAN_FRONTEND': 'noninteractive'}
    command = ['apt-get', '-qq', *arguments]
    quiet = subprocess.DEVNULL
    return subprocess.run(command, env=environment, stdout=quiet, stderr=quiet, check=False).returncode == 0


def _say(text: str) -> None:
    sys.stdout.write(f'{text}\n')
    sys.stdout.flush()


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
        install_shell()
        return
    install()
    if not find():
        sys.exit('The browser tests need a Chromium, and none could be installed. Install one and try again.')


if __name__ == '__main__':
    main()
