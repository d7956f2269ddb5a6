"""The table of docs/permissions.md, made from the table in app/auth/permissions.py; running this module prints it."""

from app.auth.permissions import ONLY_FOR_ITSELF, Action, Role, allows


def as_markdown() -> str:
    lines = ["| action | " + " | ".join(Role) + " |", "|---" * (len(Role) + 1) + "|"]
    for action in Action:
        note = " ¹" if action in ONLY_FOR_ITSELF else ""
        cells = [("yes" + note if role is Role.AGENT else "yes") if allows(role, action) else "–" for role in Role]
        lines.append(f"| {action} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(as_markdown())
