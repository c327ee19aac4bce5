"""Open vSwitch on one host."""
