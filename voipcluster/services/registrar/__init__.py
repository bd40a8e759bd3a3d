"""The registrar of a node (RFC 3261 section 10), and where its bindings are kept."""
