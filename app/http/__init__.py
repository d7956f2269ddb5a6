"""The web server's edges: how requests are read and answers written, before and around Flask."""
