"""What a host does for load balancers: stations, and the proxies in them."""
