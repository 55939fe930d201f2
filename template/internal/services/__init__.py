"""The business functions; they know nothing of how they are run."""
