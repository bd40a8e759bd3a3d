"""The kernel's path of the relay: rules and maps of nftables, and how they are said to the kernel (C{docs/media.md})."""
