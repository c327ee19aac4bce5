"""The pipeline: knows OpenStack through openstacksdk, and nothing of the cloud's code."""
