"""What the benchmarks decide, without running them."""
