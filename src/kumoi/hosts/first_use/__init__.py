"""What a new cloud starts with: certificates, passwords, clouds.yaml, first networks and flavors."""
