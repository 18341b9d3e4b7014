"""What `config.yaml` may say of who signs in, and how."""

from __future__ import annotations

from lumen.config.fields import Email, Line, OptionalWebAddress, Secret, WebAddress
from lumen.config.frozen import Frozen


class DevUser(Frozen):
    email: Email
    name: Line


class OAuth2(Frozen):
    client_id: Secret | None = None
    client_secret: Secret | None = None
    server_metadata_url: WebAddress
    redirect_uri: OptionalWebAddress = ''
    scopes: Line = 'openid email profile'
    params: dict[Line, Line] = {}
    allow_unverified_email: bool = False


class Login(Frozen):
    dev_users: tuple[DevUser, ...] = ()
    oauth2: OAuth2 | None = None
