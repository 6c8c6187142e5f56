"""What a test may not do without a marker, in its own process and in its child processes."""
