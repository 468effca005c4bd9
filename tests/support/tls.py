"""TLS for the tests: a certificate authority, and a TLS proxy before a plain S3 server."""

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOOPBACK = "127.0.0.1"
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """A certificate authority, and its certificate for a server on the loopback interface.

    Attributes:
        bundle: Certificate of the authority, for clients.
        certificate: Certificate of the server.
        key: Private key of the server.
    """

    bundle: Path
    certificate: Path
    key: Path


def authority(folder: Path, *, address: str = LOOPBACK) -> Authority:
    """Make an authority and the certificate of a server at an address."""
    folder.mkdir(parents=True)
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Authority of {folder.name}")])
    root = _signed(root_name, root_name, root_key.public_key(), root_key, x509.BasicConstraints(ca=True, path_length=0))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    certificate = _signed(name, root_name, key.public_key(), root_key, host)
    made = Authority(folder / "authority.pem", folder / "server.pem", folder / "server.key")
    made.bundle.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made


def _signed(
    name: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    key: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(public_key)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - DAY).not_valid_after(now + DAY)
    return builder.add_extension(extension, critical=False).sign(key, hashes.SHA256())


@contextlib.contextmanager
def tls_proxy(upstream: tuple[str, int], of: Authority) -> Iterator[int]:
    """Run a proxy during the block: TLS on a port of the loopback interface, plain TCP to the server.

    Yields:
        The port.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(of.certificate, of.key)
    with socket.create_server((LOOPBACK, 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, upstream, context), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _serve(listener: socket.socket, upstream: tuple[str, int], context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_forward, args=(client, upstream, context), daemon=True).start()


def _forward(client: socket.socket, upstream: tuple[str, int], context: ssl.SSLContext) -> None:
    with (
        client,
        contextlib.suppress(OSError),
        context.wrap_socket(client, server_side=True) as secure,
        socket.create_connection(upstream) as server,
    ):
        back = threading.Thread(target=_copy, args=(server, secure), daemon=True)
        back.start()
        _copy(secure, server)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
