"""Agents and their reports."""
