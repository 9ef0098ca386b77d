"""What `make check` holds the tree to, beyond what a test can say."""
