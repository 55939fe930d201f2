"""Measurements; each is a program."""
