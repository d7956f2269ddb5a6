"""Dashboard Realtime, a realtime backend for DeFi security dashboards.

Importing this package imports nothing else: `wsgi.py` patches the standard library for eventlet before it imports
Flask, redis or SQLAlchemy. The application is made in `app.factory`.
"""
