"""Celery projects under fire: real brokers are killed, frozen and restarted, and so are workers."""
