"""Hides passwords and tokens in everything that is printed or stored."""

import os
import re
from urllib.parse import unquote

HIDDEN = "***"
ADDRESSES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
CREDENTIALS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
# user:password@ in any address, also of a git remote; a token may replace the user.
USER = re.compile(r"(?<=://)[^\s/@]*(?:@[^\s/@]*)*@")
# password=... in the options of a database.
OPTION = re.compile(r"((?:password|passwd|pwd|token|secret)=)([^&;,\s'\"]+)", re.IGNORECASE)


def hide(text: str) -> str:
    """`text` with *** for passwords in addresses, and for those in MLflow's variables."""
    for secret in sorted(_in_use(), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return OPTION.sub(rf"\1{HIDDEN}", USER.sub(f"{HIDDEN}@", text))


def _in_use() -> set[str]:
    """Passwords and tokens of the environment, as written and with %-escapes decoded."""
    found = {os.environ.get(name, "") for name in CREDENTIALS}
    for name in ADDRESSES:
        address = os.environ.get(name, "").partition("://")[2]
        user, at, _ = address.rpartition("@")
        if at and not address.startswith("/"):  # otherwise the path of a file
            found.add(user.partition(":")[2] or user)
        found |= {value for _, value in OPTION.findall(unquote(address))}
    return {form for secret in found for form in (secret, unquote(secret)) if form}
