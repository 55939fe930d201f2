"""What only development needs."""
