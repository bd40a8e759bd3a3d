"""
Conformance from outside: a real node, and scripted peers that play everybody around it over real sockets.

How to write such a test is in docs/testing.md; what was tested with which result, in docs/conformance.md.
"""
