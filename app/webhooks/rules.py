"""The rules of webhooks: statuses, delivered events, and which webhook an event matches. Pure: imports no framework."""

from enum import StrEnum


class WebhookStatus(StrEnum):
    ENABLED = "ENABLED"
    DISABLED = "DISABLED"
    DELETED = "DELETED"  # told to nobody; the retention deletes its deliveries, then the row


class DeliveryStatus(StrEnum):
    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
