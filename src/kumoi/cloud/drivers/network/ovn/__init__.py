"""OVN northbound."""
