"""What passes here, told to a collector such as Homer."""
