"""A VoIP system out of two or more nodes that balance themselves."""

__version__ = "0.1.0"
