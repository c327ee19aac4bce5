"""Rules and states: no HTTP, no driver."""
