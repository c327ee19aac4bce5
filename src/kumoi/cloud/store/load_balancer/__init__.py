"""The load balancer service's rows."""
