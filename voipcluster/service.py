"""
The embedding surface: a node inside any Twisted application, and what takes part in its decisions.

An application needs nothing else of this package, and only these names stay as they are from version to version.
C{docs/embedding.md} has a complete example.

 - The node: L{NodeService}, with a L{Config} that L{load_config} made of a file and of settings (L{parse_set}).
 - Calls: an L{ICallHook} gets a L{CallOffer}, and may answer L{Refuse} or L{Retarget}.
 - Placement: an L{IBalancingPolicy} makes an L{IPlan} of the L{Node}s; L{FixedOrder} is a plan that needs no class of its own,
   and L{Planned}, L{InSequence}, L{LeastLoaded} and L{TwoChoices} are the policies that come along.
 - Calls that it serves: an L{ICallWatch} is told of each that ended, with how it sounded, and of L{Trouble} with its media.
 - L{UsageError} says in one line what the operator has to change; L{ConfigError} is one.
"""

from voipcluster.balance.membership import Node
from voipcluster.balance.planned import Planned
from voipcluster.balance.policy import (
    FixedOrder,
    IBalancingPolicy,
    InSequence,
    IPlan,
    LeastLoaded,
    Rand,
    TwoChoices,
)
from voipcluster.balance.state import NodeState
from voipcluster.config import Config, ConfigError, Setting, load_config, parse_set
from voipcluster.errors import ParseError, PeerError, UsageError
from voipcluster.services.media.listening import Trouble
from voipcluster.services.node.records import ICallWatch
from voipcluster.services.node.service import NodeService
from voipcluster.services.policies import plugin_policies
from voipcluster.services.sip.hooks import CallOffer, ICallHook, Refuse, Retarget, Verdict
from voipcluster.sip.uri import SipUri, parse_uri

__all__ = [
    "CallOffer",
    "Config",
    "ConfigError",
    "FixedOrder",
    "IBalancingPolicy",
    "ICallHook",
    "ICallWatch",
    "IPlan",
    "InSequence",
    "LeastLoaded",
    "Node",
    "NodeService",
    "NodeState",
    "ParseError",
    "PeerError",
    "Planned",
    "Rand",
    "Refuse",
    "Retarget",
    "Setting",
    "SipUri",
    "Trouble",
    "TwoChoices",
    "UsageError",
    "Verdict",
    "load_config",
    "parse_set",
    "parse_uri",
    "plugin_policies",
]
