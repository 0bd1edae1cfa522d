"""Tables of this app; Django finds them here."""

from tenants.models.credentials import Credential, CredentialSecret, SigningKey
from tenants.models.deliveries import Delivery, DeliveryAttempt
from tenants.models.records import AuditEntry, IdempotencyRecord
from tenants.models.tenants import Membership, Tenant

__all__ = [
    "AuditEntry",
    "Credential",
    "CredentialSecret",
    "Delivery",
    "DeliveryAttempt",
    "IdempotencyRecord",
    "Membership",
    "SigningKey",
    "Tenant",
]
