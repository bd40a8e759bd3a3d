"""One TOML file and the flags to one frozen L{Config}; nothing else knows the names of options."""

from voipcluster.config.load import ConfigError, Setting, check_file, load_config, parse_set
from voipcluster.config.numbers import NumbersOptions
from voipcluster.config.options import (
    POLICIES,
    AuthOptions,
    ClusterOptions,
    Config,
    DatabaseOptions,
    DnsOptions,
    LimitsOptions,
    MediaOptions,
    NodeOptions,
    Option,
    OverloadOptions,
    RecordsOptions,
    SipOptions,
    TlsOptions,
    WebOptions,
    WebSocketOptions,
    options,
)
from voipcluster.config.problem import Problem

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
    "WebOptions",
    "WebSocketOptions",
    "check_file",
    "load_config",
    "options",
    "parse_set",
]
