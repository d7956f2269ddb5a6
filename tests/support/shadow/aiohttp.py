"""Hides aiohttp from systems under test: python-socketio imports it for a client that they don't have.

Their image has no aiohttp. Each start would load it twice, a sixth of its processor time.
"""

raise ImportError
