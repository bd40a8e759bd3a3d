"""One TOML file and the flags to one frozen L{Config}; nothing else knows the names of options."""

from voipcluster.config.cluster import POLICIES, ClusterOptions, NodeOptions
from voipcluster.config.dns import DnsOptions
from voipcluster.config.limits import LimitsOptions, OverloadOptions
from voipcluster.config.load import (
    ConfigError,
    Setting,
    Verdict,
    check_file,
    load_config,
    look_into,
    parse_set,
)
from voipcluster.config.media import MediaOptions
from voipcluster.config.numbers import NumbersOptions
from voipcluster.config.options import Config, Option, options
from voipcluster.config.problem import Problem
from voipcluster.config.records import DatabaseOptions, RecordsOptions
from voipcluster.config.sip import AuthOptions, SipOptions
from voipcluster.config.transports import TlsOptions, WebOptions, WebSocketOptions

__all__ = [
    "POLICIES",
    "AuthOptions",
    "ClusterOptions",
    "Config",
    "ConfigError",
    "DatabaseOptions",
    "DnsOptions",
    "LimitsOptions",
    "MediaOptions",
    "NodeOptions",
    "NumbersOptions",
    "Option",
    "OverloadOptions",
    "Problem",
    "RecordsOptions",
    "Setting",
    "SipOptions",
    "TlsOptions",
    "Verdict",
    "WebOptions",
    "WebSocketOptions",
    "check_file",
    "load_config",
    "look_into",
    "options",
    "parse_set",
]
