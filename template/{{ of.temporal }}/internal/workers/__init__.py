"""The background work: workflows say what happens, activities do it, the worker runs both."""
