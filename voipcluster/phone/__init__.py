"""
A small SIP phone on the cluster's own SIP core, for the demo, for tests and for trying things out.

C{events}, C{dialog}, C{transactions}, C{call}, C{agent}, C{sdp} and C{tone} do no I/O; C{wire} and C{media} hold the sockets;
L{voipcluster.phone.phone.Phone} is what one uses.
"""

from voipcluster.phone.phone import CallFailed, Phone, PhoneCall, RegistrationRefused

__all__ = ["CallFailed", "Phone", "PhoneCall", "RegistrationRefused"]
