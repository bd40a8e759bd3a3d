"""The demonstration behind F{script/demo}: a real cluster on loopback, phones that call each other, and a live table."""
