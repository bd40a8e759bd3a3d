"""Whom a certificate speaks for in SIP (RFC 5922 section 7)."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID

from voipcluster.errors import ParseError
from voipcluster.sip.uri import parse_uri


def sip_identities(certificate: x509.Certificate) -> frozenset[str]:
    """
    The SIP domains and addresses that a certificate whose signature was checked proves.

    URIs of the scheme sip without a user come first; only when there is none do the DNS names count (section 7.1), and only
    without any subjectAltName the common name. RFC 5922 speaks of domains alone; a host that is called by its address
    proves that by an C{iPAddress} (RFC 9525 section 6.5).

    @return: domains in lower case, and IP literals. A wildcard is among them as it stands, and so equals no name
        (section 7.2 forbids to expand it).
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset(_common_names(certificate))
    except ValueError:
        return frozenset()  # extensions that nobody can read prove nothing
    domains = {
        host for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if (host := _domain(uri))
    }
    if not domains:
        domains = {name.lower().rstrip(".") for name in names.get_values_for_type(x509.DNSName)}
    return frozenset(domains | {str(address) for address in names.get_values_for_type(x509.IPAddress)})


def _domain(uri: str) -> str | None:
    """The domain that a URI of a certificate names; one with a user is about a person, not about a domain."""
    try:
        parsed = parse_uri(uri)
    except ParseError:
        return None
    return parsed.host if parsed.scheme == "sip" and parsed.user is None else None


def _common_names(certificate: x509.Certificate) -> set[str]:
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return {str(attribute.value).lower() for attribute in found}
