"""The peers behind which other clients or other networks are: what is known of them, and what they may do."""
