"""How the echo model ranks documents: by how many of the words of the query stand in each."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from lumen.errors import Invalid
from lumen.gateway import rerank
from lumen.gateway.echo_tokens import tokens


def answer(body: dict[str, Any], *, with_usage: bool) -> dict[str, Any] | None:
    """The whole answer; None when the body is not one that this server understands."""
    try:
        rerank.check({'model': 'echo'} | body)
    except Invalid:
        return None
    query, texts = str(body['query']), [_text(document) for document in body['documents']]
    wanted = {token.strip().lower() for token in tokens(query)}
    results: list[dict[str, Any]] = [
        {'index': index, 'document': {'text': text}, 'relevance_score': _score(wanted, text)}
        for index, text in enumerate(texts)
    ]
    results.sort(key=lambda result: (-result['relevance_score'], result['index']))
    found: dict[str, Any] = {
        'id': f'rerank-{uuid4().hex}',
        'model': body.get('model', 'echo'),
        'results': results[: body.get('top_n') or len(results)],
    }
    if with_usage:
        read = sum(len(tokens(query)) + len(tokens(text)) for text in texts)
        found['usage'] = {'prompt_tokens': read, 'total_tokens': read}
    return found


def _text(document: Any) -> str:
    return document if isinstance(document, str) else str(document.get('text', ''))


def _score(wanted: set[str], text: str) -> float:
    found = {token.strip().lower() for token in tokens(text)}
    return len(wanted & found) / len(wanted)
