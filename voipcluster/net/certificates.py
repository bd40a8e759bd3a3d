"""
Certificates of the cluster link: the cluster's own CA, and one certificate per node that says its name and role.

All times are unix seconds.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from urllib.parse import quote, unquote

from attrs import frozen
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from voipcluster.errors import PeerError, UsageError

DAY = 86400.0
CA_DAYS = 3653  # ten years
NODE_DAYS = 365
BACKDATED = 3600.0  # seconds: the clocks of nodes that join differ a little

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", re.ASCII)


def check_name(name: str) -> str:
    """
    @return: C{name} when it can name a node.
    @raise UsageError: it cannot.
    """
    if _NAME.fullmatch(name) is None:
        raise UsageError(f"node name {name!r}: 1 to 63 letters, digits, - and _, the first a letter or digit")
    return name


@frozen
class Certified:
    """Who a certificate of this cluster says the peer is; C{key} is the SHA-256 of its public key, in hex."""

    name: str
    role: str
    key: str


@frozen
class Identity:
    """What one node shows on the link."""

    cluster: str
    name: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    ca: x509.Certificate


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def key_from_pem(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """@raise ValueError: not the PEM of an elliptic curve key."""
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic curve key")
    return key


def certificate_to_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def fingerprint(certificate: x509.Certificate) -> bytes:
    """SHA-256 of the DER form, 32 octets."""
    return certificate.fingerprint(hashes.SHA256())


def key_digest(key: ec.EllipticCurvePublicKey) -> str:
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def _subject(name: str, role: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "voipcluster"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _utc(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def create_ca(cluster: str, now: float) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Make the CA of a new cluster: ECDSA on P-256, ten years, signs nodes only."""
    key = new_key()
    subject = _subject(f"cluster {cluster}", "ca")
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_utc(now - BACKDATED))
        .not_valid_after(_utc(now + CA_DAYS * DAY))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def issue(
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    public_key: ec.EllipticCurvePublicKey,
    who: tuple[str, str, str],
    now: float,
    days: float = NODE_DAYS,
) -> x509.Certificate:
    """
    Make the certificate of one node.

    @param who: cluster id, node name and role; they become the SAN URI C{voipcluster://CLUSTER/node/NAME} and the
        subject's OU.
    """
    cluster, name, role = who
    uri = f"voipcluster://{cluster}/node/{quote(name)}"
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(name, role))
        .issuer_name(ca.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_utc(now - BACKDATED))
        .not_valid_after(_utc(now + days * DAY))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )


def create_request(name: str, key: ec.EllipticCurvePrivateKey) -> bytes:
    """A certificate signing request (RFC 2986) in PEM; the primary takes nothing but the public key from it."""
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(_subject(name, "node"))
        .sign(key, hashes.SHA256())
    )
    return request.public_bytes(serialization.Encoding.PEM)


def requested_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    """
    The public key of a signing request whose own signature is right.

    @raise PeerError: not such a request, or not a P-256 key.
    """
    try:
        request = x509.load_pem_x509_csr(pem)
        key = request.public_key()
        if not request.is_signature_valid:
            raise ValueError("its signature is wrong")
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("its key is not one of P-256")
    except Exception as error:  # cryptography raises its own classes, and those of its ASN.1 parser
        raise PeerError(f"not a certificate signing request: {error}") from None
    return key


def certified(certificate: x509.Certificate, cluster: str) -> Certified:
    """
    Read whom a certificate names. The signature must have been checked before.

    @raise PeerError: it names no node of this cluster.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        roles = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
        key = certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or len(uris) != 1 or len(roles) != 1:
            raise ValueError("fields")
    except Exception:
        raise PeerError("its certificate is not one of a node", 403) from None
    prefix = f"voipcluster://{cluster}/node/"
    if not uris[0].startswith(prefix):
        raise PeerError(f"its certificate names {uris[0]!r}, which is not of this cluster", 403)
    return Certified(unquote(uris[0].removeprefix(prefix)), str(roles[0].value), key_digest(key))


def check_issued(certificate: x509.Certificate, ca: x509.Certificate, now: float) -> None:
    """@raise PeerError: not issued by C{ca}, or not valid now."""
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        raise PeerError("its certificate is not issued by the cluster's CA", 403) from None
    if not certificate.not_valid_before_utc <= _utc(now) <= certificate.not_valid_after_utc:
        raise PeerError("its certificate is not valid now (expired, or a clock is wrong)", 403)


def renewal_due(certificate: x509.Certificate, now: float) -> bool:
    """Whether less than a third of the certificate's life is left."""
    begin, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    return end - now < (end - begin) / 3
