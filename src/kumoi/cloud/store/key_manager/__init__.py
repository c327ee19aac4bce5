"""The key manager's rows."""
