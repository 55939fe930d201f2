"""Everything behind the API."""
