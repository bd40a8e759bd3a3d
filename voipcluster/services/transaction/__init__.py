"""Between the sockets and the proxy: transports, transactions, and what is refused before either (RFC 3261 sections 17, 18)."""
