"""What runs inside the tenant."""
