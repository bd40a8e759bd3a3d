"""C{twistd voipcluster}: found by twistd without importing voipcluster itself."""

from twisted.application.service import ServiceMaker

voipcluster = ServiceMaker(
    "voipcluster", "voipcluster.tap", "A VoIP node that balances calls with its cluster.", "voipcluster"
)
