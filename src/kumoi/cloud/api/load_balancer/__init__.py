"""Load balancer API v2."""
