"""
A small SIP phone on the cluster's own SIP core, for the demo, for tests and for trying things out.

Only C{media} and C{phone} hold sockets and timers. L{voipcluster.phone.phone.Phone} is what one uses; what it decides is
in C{agent}, which puts together C{registration}, C{caller} and C{callee} over C{requests} and C{transactions}.
"""

from voipcluster.phone.phone import Phone
from voipcluster.phone.phone_call import CallFailed, PhoneCall, RegistrationRefused

__all__ = ["CallFailed", "Phone", "PhoneCall", "RegistrationRefused"]
