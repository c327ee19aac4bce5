"""Hosts that join a cloud: tokens, and the unit that signs their certificates. Design note 0021."""
