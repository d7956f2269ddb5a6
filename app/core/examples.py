"""Ids and times shared by the examples in the API documents."""

PROTOCOL = "aave-v3"
AGENT = "scanner-7"
VULNERABILITY = "019a8f00-4b1c-7d30-9c55-2f6f1c0a9e01"
PAYMENT = "019a8f04-91aa-7f02-8d11-77c0a4b3d202"
ENTRY = "019a8f04-93c1-7a44-b6de-0b8e8f6c1d03"
MOMENT = "2026-11-22T20:30:00.123Z"
LATER = "2026-11-22T20:45:00.000Z"
