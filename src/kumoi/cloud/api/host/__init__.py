"""The host API: what hosts call."""
