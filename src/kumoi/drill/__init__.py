"""What breaks is broken on purpose, under traffic, and what that cost is counted (docs/design/0033)."""
