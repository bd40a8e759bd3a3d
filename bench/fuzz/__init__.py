"""A coverage-guided fuzzer for everything that reads what a peer sent; C{python -m bench.fuzz --help}."""
