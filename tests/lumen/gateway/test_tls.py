"""Model servers behind TLS: whom Lumen trusts, and whom they do."""

from __future__ import annotations

import datetime
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from lumen.config.settings import Settings
from tests.lumen.gateway.conftest import Running, Script, Scripted, configured
from tests.lumen.gateway.test_failures import call
from tests.lumen.gateway.test_trying_again import WHOLE

Run = Callable[[Settings], Running]
NOW = datetime.datetime.now(datetime.UTC)

pytestmark = pytest.mark.parametrize('database_url', ['sqlite'], indirect=True)


class Authority:
    """Signs certificates, which it writes into a folder with their keys."""

    def __init__(self, folder: Path, name: str):
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        basic = x509.BasicConstraints(ca=True, path_length=0)
        made = self._builder(self._name, self._key).add_extension(basic, critical=True).sign(self._key, SHA256())
        self.file = folder / f'{name}.pem'
        self.file.write_bytes(made.public_bytes(Encoding.PEM))

    def signed(self, name: str) -> Path:
        """The file of a certificate and its key, for a host of that name (or address)."""
        key = ec.generate_private_key(ec.SECP256R1())
        host = x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([host])
        made = self._builder(subject, key).add_extension(names, critical=False).sign(self._key, SHA256())
        file = self._folder / f'{name}-signed.pem'
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(made.public_bytes(Encoding.PEM) + private)
        return file

    def _builder(self, subject: x509.Name, key: Any) -> x509.CertificateBuilder:
        day = datetime.timedelta(days=1)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - day)
            .not_valid_after(NOW + day)
        )


class Secured(ThreadingHTTPServer):
    daemon_threads = True
    script: Script

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A handshake that failed is no news."""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, 'ours')


@pytest.fixture
def serve(authority: Authority) -> Iterator[Callable[..., str]]:
    servers: list[tuple[Secured, threading.Thread]] = []

    def start(name: str = '127.0.0.1', callers: Path | None = None) -> str:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=callers)
        context.load_cert_chain(authority.signed(name))
        if callers is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        server = Secured(('127.0.0.1', 0), Scripted)
        server.script = Script(parts=[WHOLE])
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
        thread.start()
        servers.append((server, thread))
        return f'https://127.0.0.1:{server.server_address[1]}/v1'

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def secured(url: str, **tls: Any) -> Settings:
    return configured(url, endpoints=[{'url': url, 'tls': {name: str(value) for name, value in tls.items()}}])


def test_a_server_is_trusted_by_the_authority_that_the_file_names(
    run: Run, serve: Callable[..., str], authority: Authority, tmp_path: Path
):
    url = serve()
    running = run(secured(url, ca_file=authority.file))
    assert call(running).status_code == 200
    for other in (secured(url), secured(url, ca_file=Authority(tmp_path, 'theirs').file)):
        running.source.current = other
        answer = call(running)
        assert (answer.status_code, answer.json()['error']['code']) == (502, 'upstream_error')


def test_a_certificate_must_be_for_the_name(run: Run, serve: Callable[..., str], authority: Authority):
    url = serve('models.example.org')
    running = run(secured(url, ca_file=authority.file))
    assert call(running).status_code == 502
    running.source.current = secured(url, ca_file=authority.file, server_name='models.example.org')
    assert call(running).status_code == 200


def test_a_server_that_asks_for_a_certificate_gets_it(run: Run, serve: Callable[..., str], authority: Authority):
    url = serve(callers=authority.file)
    assert call(run(secured(url, ca_file=authority.file))).status_code == 502
    certificate = authority.signed('lumen.example.org')
    assert call(run(secured(url, ca_file=authority.file, client_certificate=certificate))).status_code == 200


def test_a_file_that_changes_counts_at_once(run: Run, serve: Callable[..., str], authority: Authority, tmp_path: Path):
    trusted = tmp_path / 'trusted.pem'
    trusted.write_bytes(Authority(tmp_path, 'theirs').file.read_bytes())
    running = run(secured(serve(), ca_file=trusted))
    assert call(running).status_code == 502
    trusted.write_bytes(authority.file.read_bytes())
    running.source.current = secured(
        running.source.current.models[0].endpoints[0].url, ca_file=trusted, server_name='127.0.0.1'
    )
    assert call(running).status_code == 200
