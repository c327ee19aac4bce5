"""Rules of load balancers."""
