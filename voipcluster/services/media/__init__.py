"""The RTP relay of a node."""
