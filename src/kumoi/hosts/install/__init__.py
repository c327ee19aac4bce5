"""What a machine gets before it is a host: packages, images and the recipes they are built by."""
