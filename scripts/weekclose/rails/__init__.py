"""Payment rails: one small protocol and its adapters."""
