"""What was said in a call: its messages while somebody wants them, and what is known of it in any case."""
