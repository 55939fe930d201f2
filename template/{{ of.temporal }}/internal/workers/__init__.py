"""The worker's entry point, and native Temporal code: what is in a file here is found."""
