"""The gateways of a node: which there are, how they are, and what they may do now."""
