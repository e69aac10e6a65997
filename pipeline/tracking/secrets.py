"""Passwords and tokens in what is shown or kept: hidden."""

import os
import re
from urllib.parse import unquote

HIDDEN = "***"
ADDRESSES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
CREDENTIALS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
# user:password@ of any address, also of a git remote; a token may stand in the user's place.
USER = re.compile(r"(?<=://)[^\s/@]*(?:@[^\s/@]*)*@")
# password=... among the options of a database.
OPTION = re.compile(r"((?:password|passwd|pwd|token|secret)=)([^&;,\s'\"]+)", re.IGNORECASE)


def hide(text: str) -> str:
    """`text` without the passwords and tokens of addresses, and without those that are in use."""
    for secret in sorted(_in_use(), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return OPTION.sub(rf"\1{HIDDEN}", USER.sub(f"{HIDDEN}@", text))


def _in_use() -> set[str]:
    """Passwords and tokens of the environment, as they are written and as they are meant."""
    found = {os.environ.get(name, "") for name in CREDENTIALS}
    for name in ADDRESSES:
        address = os.environ.get(name, "").partition("://")[2]
        user, at, _ = address.rpartition("@")
        if at and not address.startswith("/"):  # else the path of a file
            found.add(user.partition(":")[2] or user)
        found |= {value for _, value in OPTION.findall(unquote(address))}
    return {form for secret in found for form in (secret, unquote(secret)) if form}
