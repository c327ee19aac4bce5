"""Made at a cloud's first start: certificates, passwords, clouds.yaml, first networks and flavors."""
