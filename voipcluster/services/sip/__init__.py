"""The SIP side of a node: transports, transactions, proxy, registrar, calls."""
