"""Accounts and gateways in the shared database: its changes come to each node, those of the cluster go to it."""
