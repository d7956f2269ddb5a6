"""Typed REST calls."""
