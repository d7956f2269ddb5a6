"""The conformance kit: cases that prove a client of this server in any language (README.md)."""
