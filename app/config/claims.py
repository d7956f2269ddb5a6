"""Which claims of an identity provider's tokens mean what, as the settings write it down. Errors are ValueErrors."""

import re

ROLES = ("agent", "viewer", "validator", "owner", "admin")
DEFAULT_ROLES = ("viewer", "agent")  # a role of every user of the provider: it must decide and pay nothing
USER_WRITTEN = "user_metadata"
MAX_ALTERNATIVES = 8
MAX_DEPTH = 8
MAX_ROLE_NAMES = 100
CLAIM_FORM = (
    "is not like role, realm_access.roles, https://app.example/role or /path/of/names (a JSON Pointer); "
    f"alternatives are comma-separated, at most {MAX_ALTERNATIVES}"
)
ROLES_FORM = f"is not like dashboard-owner=owner,dashboard-viewer=viewer, with roles from: {', '.join(ROLES)}"
ClaimPath = tuple[str, ...]


def claim_paths(text: str) -> tuple[ClaimPath, ...]:
    """The paths of a comma-separated list, the preferred one first."""
    paths = tuple(_claim_path(each.strip()) for each in text.split(","))
    if len(paths) > MAX_ALTERNATIVES:
        raise ValueError(CLAIM_FORM)
    return paths


def _claim_path(text: str) -> ClaimPath:
    """Names separated by dots, a URL as a single name, or a JSON Pointer (RFC 6901) for names with dots or slashes."""
    if text.startswith("/"):
        names = tuple(each.replace("~1", "/").replace("~0", "~") for each in text[1:].split("/"))
    else:
        names = (text,) if "://" in text else tuple(text.split("."))
    if not all(names) or len(names) > MAX_DEPTH or not text.isprintable():
        raise ValueError(CLAIM_FORM)
    if names[0] == USER_WRITTEN:
        raise ValueError(f"must not begin with {USER_WRITTEN}: users can change what it holds")
    return names


def role_names(text: str) -> dict[str, str]:
    """The provider's names of roles with ours; our own names if the text is empty."""
    if not text:
        return {role: role for role in ROLES}
    pairs = [tuple(part.strip() for part in each.rpartition("=")) for each in text.split(",")]
    names = {name: role for name, _, role in pairs}
    if len(names) < len(pairs):
        raise ValueError("names a role of the provider twice")
    if len(pairs) > MAX_ROLE_NAMES or not all(name and role in ROLES for name, role in names.items()):
        raise ValueError(ROLES_FORM)
    return names


def protocol_ids(text: str) -> list[str]:
    """The ids of a comma-separated list, or `*`."""
    ids = [each.strip() for each in text.split(",") if each.strip()]
    if not all(each == "*" or re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", each) for each in ids):
        raise ValueError("is not like P1,P2 or *")
    return ids
