"""A web site on a loopback address: what it is told to answer, and what was asked of it."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.ports import free_port


@dataclass
class Asked:
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    server_name: str | None


@dataclass
class Reply:
    """What the site answers."""

    status: int = 200
    body: bytes = b"hello"
    headers: dict[str, str] = field(default_factory=dict)


Page = Reply | Callable[["_Handler"], None]


class Site:
    """`pages` by path (or "*"); a page is a Reply, or a function that writes to the connection itself."""

    def __init__(self, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.address, self.port = address, free_port()
        self.pages: dict[str, Page] = {}
        self.asked: list[Asked] = []
        self.connections = 0
        self.released = threading.Event()
        self.server = _Server((address, self.port), _Handler, self, tls)

    def url(self, path: str = "/", name: str = "site.example") -> str:
        """The address of a page under a name of the test's own resolver."""
        return f"{'https' if self.server.tls else 'http'}://{name}:{self.port}{path}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, at: tuple[str, int], handler: Any, site: Site, tls: ssl.SSLContext | None) -> None:
        self.address_family = socket.AF_INET6 if ":" in at[0] else socket.AF_INET
        self.site, self.tls = site, tls
        self.names: dict[int, str | None] = {}
        super().__init__(at, handler)
        if tls:
            tls.sni_callback = self._named  # type: ignore[assignment]

    def _named(self, connection: ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        self.names[connection.fileno()] = name

    def finish_request(self, request: Any, client_address: Any) -> None:
        self.site.connections += 1
        with contextlib.suppress(OSError):
            wrapped = self.tls.wrap_socket(request, server_side=True) if self.tls else request
            super().finish_request(wrapped, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left early is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def _any(self) -> None:
        site = self.server.site
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name = self.server.names.get(self.connection.fileno())
        site.asked.append(Asked(self.command, self.path, dict(self.headers.items()), body, name))
        page = site.pages.get(self.path.partition("?")[0], site.pages.get("*", Reply(404, b"not here")))
        if callable(page):
            page(self)
            return
        self.send_response_only(page.status)
        for header, value in page.headers.items():
            self.send_header(header, value)
        self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_CONNECT = _any

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the terminal."""


@contextlib.contextmanager
def site_run(address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    """A running site; pages that wait are let go at the end."""
    site = Site(address, tls)
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.released.set()
        site.server.shutdown()
        site.server.server_close()


def certificate_make(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context for a name, signed by itself, and the file that a client may trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.9"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "site.pem", folder / "site.key"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context, public
