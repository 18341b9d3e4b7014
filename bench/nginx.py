"""nginx as a reverse proxy in front of the model server: the limit of what a relay can do on one processor."""

from __future__ import annotations

import shutil
from pathlib import Path

MISSING = 'which is not installed (Debian: `apt-get install nginx-light`)'
CONFIGURATION = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    upstream models {{ server 127.0.0.1:{upstream}; keepalive 512; }}
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        keepalive_requests 100000000;
        location / {{
            proxy_pass http://models;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""


def find() -> str | None:
    """The program; None where it is not installed."""
    return shutil.which('nginx') or shutil.which('nginx', path='/usr/sbin:/usr/local/sbin')


def command(program: str, directory: Path, port: int, upstream_port: int) -> list[str]:
    """What starts it in the foreground."""
    path = directory / 'nginx.conf'
    path.write_text(CONFIGURATION.format(directory=directory, port=port, upstream=upstream_port))
    return [program, '-c', str(path)]
