"""The key manager's rows, and the key that seals what they keep."""
