"""The node's place in its cluster: links, copies, joining."""
