"""The certificate of a node is renewed at the primary when a third of its life is left, for the key that the node has."""

from __future__ import annotations

from attrs import evolve
from cryptography import x509

from voipcluster.errors import PeerError
from voipcluster.net import certificates
from voipcluster.net.certificates import Identity


def renewed(identity: Identity, pem: object, now: float) -> Identity:
    """
    The identity with another certificate.

    @param pem: what the primary answered.
    @param now: unix seconds.
    @raise PeerError: it is not a certificate of the same node and key.
    """
    try:
        certificate = x509.load_pem_x509_certificate(str(pem).encode())
    except ValueError:
        raise PeerError("what came is not a certificate") from None
    certificates.check_issued(certificate, identity.ca, now)
    old = certificates.certified(identity.certificate, identity.cluster)
    if certificates.certified(certificate, identity.cluster) != old:
        raise PeerError("the new certificate names somebody else")
    return evolve(identity, certificate=certificate)
