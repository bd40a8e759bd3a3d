"""
What must hold for any octets that a peer sends, as functions that raise AssertionError when it does not.

The unit tests call them with generated input, C{bench/fuzz} with input that it grows towards code that was not reached yet, and
C{tests/data/fuzz} keeps what was found. Each takes octets, and lets pass only what the code raises on purpose.
"""
