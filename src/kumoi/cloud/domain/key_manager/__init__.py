"""Rules of secrets and containers, and what certificates they hold."""
