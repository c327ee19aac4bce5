"""Key manager API v1, as far as certificates need it."""
