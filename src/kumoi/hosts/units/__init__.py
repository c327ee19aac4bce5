"""The processes of a host: one table of them, and the supervisor that keeps them running."""
