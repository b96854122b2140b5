"""Fixtures of the fetch tests: loopback servers, and an environment that leads nowhere else."""

from __future__ import annotations

import datetime
import ipaddress
import ssl

import pytest
from webdouble import Web

from kiln.interpreter.fetch.config import FetchConfig, Limits
from kiln.interpreter.fetch.web import CA_VARIABLES

QUICK = Limits(connect=5.0, silence=0.4, floor=1000, floor_window=0.2, backoff=0.0, longest_wait=0.01, progress=4000)
"""Limits that make a broken server break soon; a working one never comes near them."""


@pytest.fixture
def config():
    """No mirrors, no clients, quick limits."""
    return FetchConfig(ask_clients=False, limits=QUICK)


@pytest.fixture
def patient():
    """As `config`, without a limit on time."""
    limits = Limits(backoff=0.0, longest_wait=0.01, progress=4000)
    return FetchConfig(ask_clients=False, limits=limits)


@pytest.fixture
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def web(no_proxy):
    server = Web()
    yield server
    server.close()


@pytest.fixture
def other_web(no_proxy):
    server = Web()
    yield server
    server.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A certificate for 127.0.0.1 that signs itself: the path of its PEM, with the key behind it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's authority")])
    begin = datetime.datetime(2000, 1, 1)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=36500))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture
def secure_web(no_proxy, authority, monkeypatch):
    """An https server that no certificate of the environment covers."""
    for variable in (*CA_VARIABLES, "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(variable, raising=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority)
    server = Web(context)
    yield server
    server.close()
