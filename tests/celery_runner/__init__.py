"""Celery projects whose brokers and workers are real, and are killed, frozen and restarted."""
