"""One node: what it is made of, its life, and how it is shown and counted."""
