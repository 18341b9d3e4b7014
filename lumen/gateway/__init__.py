"""The OpenAI-compatible `/v1`: raw ASGI, one call from its key to its settlement."""

from lumen.gateway.routes import Gateway

__all__ = ['Gateway']
