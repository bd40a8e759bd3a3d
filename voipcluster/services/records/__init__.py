"""What is kept of each call: rows in the node's own database, and from there to whoever wants them."""
