"""The four transaction machines (RFC 3261 figures 5 to 8, RFC 6026): one a file, each without I/O."""
