"""The other gateways that Lumen is measured beside, where they are installed, and those that cannot be."""

from __future__ import annotations

from pathlib import Path

from bench import litellm, portkey

ELSEWHERE = {
    'Bifrost': 'whose package `@maximhq/bifrost` on npm is none, but fetches a program from elsewhere',
    'One API and New API': 'which are on neither PyPI nor npm (what bears the name there is something else)',
    'Helicone and Envoy AI Gateway': 'which are on neither PyPI nor npm',
    'TensorZero': 'whose package on PyPI is a client with a gateway in its process, which is to be removed from it',
}
"""What is measured comes from a package registry, so that anybody can repeat it: why these are not."""


def versions(litellm_program: str | None, portkey_program: Path | None) -> dict[str, str]:
    """Of those that are measured."""
    found = {'litellm': litellm.version_of(litellm_program)} if litellm_program else {}
    return found | ({'portkey': portkey.version_of(portkey_program)} if portkey_program else {})
