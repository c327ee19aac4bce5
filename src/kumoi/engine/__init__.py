"""Database, change feed, wake-ups, leases, loops and flows, for nouns that it does not know."""
