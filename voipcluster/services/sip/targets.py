"""From an address of record to the places where its phones are (RFC 3261 section 16.5)."""

from __future__ import annotations

from collections.abc import Callable

from voipcluster.address import SECURE
from voipcluster.errors import PeerError
from voipcluster.services.registrar.registrar import RegistrarService
from voipcluster.services.sip.core import SipCore
from voipcluster.services.sip.dialogs import Dialogs, past_its_node
from voipcluster.sip.location import Binding
from voipcluster.sip.proxy.events import Target
from voipcluster.sip.proxy.validation import Refused
from voipcluster.sip.route import Party, contact_hash
from voipcluster.sip.uri import SipUri, is_sips, parse_uri

# RFC 5630 section 5.3
_NO_SIPS = (("Warning", '380 voipcluster "SIPS Not Allowed"'),)
_KEPT = 8192  # targets that are remembered


class NoSuchUser(PeerError):
    """404: a URI of ours names nobody who has an account or is registered. It may still be a number."""

    def __init__(self) -> None:
        super().__init__("no such user", 404)


class Targets:
    """
    @param is_user: whether an address of record has an account; C{usable}: whether a node can be reached now.
    """

    def __init__(
        self,
        core: SipCore,
        dialogs: Dialogs,
        registrar: RegistrarService,
        is_user: Callable[[str], bool],
        usable: Callable[[str], bool],
    ) -> None:
        self._core = core
        self._dialogs = dialogs
        self._registrar = registrar
        self._is_user = is_user
        self._usable = usable
        self._near: dict[str, tuple[Binding, Target]] = {}  # by contact: targets on UDP flows of ours
        dialogs.of_gruu = self.of_gruu

    def locate(self, uri_text: str) -> list[Target]:
        """
        The target set of a Request-URI.

        No two of one phone are in it: its other flows are the alternatives of the first one (RFC 5626 section 7).

        @raise PeerError: 404 no such phone of ours, L{NoSuchUser}, 480 nowhere registered.
        """
        uri, _, local, aor = self._core.names.meaning(uri_text)
        if not local:
            return [Target(str(uri.request_uri()))]
        if aor is None:
            raise PeerError("the Request-URI names no user", 404)
        if uri.params and uri.has_param("gr"):
            bindings = self._phone(uri, aor)
        else:
            bindings = self._registrar.location.lookup(aor, self._core.seconds())
        if not bindings:
            raise PeerError("not registered", 480) if self._is_user(aor) else NoSuchUser()
        if uri.scheme == "sips":
            return self._locate_secure(bindings)
        near = self._near
        targets: list[Target] = []
        phones: dict[str, int] = {}  # by instance: the place of its target
        for binding in bindings:
            known = near.get(binding.contact)
            target = known[1] if known is not None and known[0] is binding else self._target(binding)
            if target is None:
                continue
            if binding.instance:
                first = phones.setdefault(binding.instance, len(targets))
                if first < len(targets):
                    chosen = targets[first]
                    targets[first] = chosen._replace(alternatives=(*chosen.alternatives, target))
                    continue
            targets.append(target)
        if not targets:
            raise PeerError("registered, but not to be reached now", 480)
        return targets

    def _phone(self, uri: SipUri, aor: str) -> list[Binding]:
        """
        The bindings of the phone that a GRUU names.

        @raise PeerError: 404, it is not valid, or not any more.
        """
        gruu = self._core.gruus.read(uri, aor)
        bindings = self._registrar.of_gruu(gruu)
        if not bindings and (gruu.instance is None or not self._is_user(gruu.aor)):
            raise PeerError("no such GRUU", 404)
        return bindings

    def of_gruu(self, uri_text: str) -> Target | None:
        """Where a request within a dialog goes whose Request-URI is a GRUU of ours; L{None} when it is none, or away."""
        try:
            uri = parse_uri(uri_text)
            if not uri.has_param("gr") or not self._core.names.is_local(uri):
                return None
            return self.locate(uri_text)[0]
        except PeerError:
            return None

    def _locate_secure(self, bindings: list[Binding]) -> list[Target]:
        """Only what is reached over TLS, each hop of it (section 26.2.2); of the flows of one phone the others wait, too."""
        targets: list[Target] = []
        phones: dict[str, int] = {}
        for binding in bindings:
            target = self._target(binding, secure=True)
            if target is None or not (
                is_sips(target.uri) or (target.party is not None and target.party.flow.transport in SECURE)
            ):
                continue
            first = phones.setdefault(binding.instance, len(targets)) if binding.instance else len(targets)
            if first < len(targets):
                chosen = targets[first]
                targets[first] = chosen._replace(alternatives=(*chosen.alternatives, target))
            else:
                targets.append(target)
        if not targets:
            raise Refused("registered, but not to be reached over TLS", 480, _NO_SIPS)
        return targets

    def _target(self, binding: Binding, secure: bool = False) -> Target | None:
        core, contact, q = self._core, binding.contact, int(binding.q * 1000)
        if "?" in contact or ";method=" in contact.lower():
            contact = str(
                parse_uri(contact).request_uri()
            )  # these have no place in a Request-URI (section 16.6 step 2)
        if binding.path:
            return Target(contact, binding.path, q=q)
        try:
            if binding.node == core.node and binding.flow is not None:
                flow, epoch = binding.flow, core.epoch
            elif binding.flow_token:
                flow, epoch = core.flow_tokens.open(binding.flow_token)
            else:
                return Target(contact, q=q)
            owner = core.addresses.get(binding.node)
            if owner is None or not self._usable(binding.node):
                # who asked for outbound is reached over the flows that it keeps open, and no other way (RFC 5626 section 7)
                past = None if binding.reg_id else past_its_node(binding.contact, flow)
                return None if past is None else past._replace(q=q)
            party = Party(owner, flow, epoch, contact_hash(contact))
            target = self._dialogs.over_flow(contact, owner, flow, epoch, party, secure)
        except PeerError:
            return None  # the connection is gone; its binding goes too
        target = Target(target.uri, target.routes, target.flow, q, party)
        if target.flow is not None and not flow.reliable:
            # it stays the same as long as the binding does: our address, and a socket that does not come and go
            if len(self._near) >= _KEPT:
                self._near.clear()
            self._near[binding.contact] = binding, target
        return target
