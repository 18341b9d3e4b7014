"""Ready-to-run calls of the API, with address, key and model filled in and quoted for the language they are in."""

from __future__ import annotations

import json
import shlex


def curl(base_address: str, key: str, model: str) -> str:
    """A POSIX shell command. `base_address` is scheme and host without `/v1`."""
    body = json.dumps({'model': model, 'messages': [{'role': 'user', 'content': 'Hello!'}]}, ensure_ascii=False)
    return ' \\\n  '.join(
        (
            f'curl {shlex.quote(f"{base_address}/v1/chat/completions")}',
            f'-H {shlex.quote(f"Authorization: Bearer {key}")}',
            "-H 'Content-Type: application/json'",
            f'-d {shlex.quote(body)}',
        )
    )


def python(base_address: str, key: str, model: str) -> str:
    """A program for the `openai` package."""
    return '\n'.join(
        (
            'from openai import OpenAI',
            '',
            'client = OpenAI(',
            f'    base_url={f"{base_address}/v1"!r},',
            f'    api_key={key!r},',
            ')',
            'answer = client.chat.completions.create(',
            f'    model={model!r},',
            "    messages=[{'role': 'user', 'content': 'Hello!'}],",
            ')',
            'print(answer.choices[0].message.content)',
        )
    )
