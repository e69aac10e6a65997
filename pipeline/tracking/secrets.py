"""Hides passwords and tokens in everything that is printed or stored."""

import os
import re
from urllib.parse import unquote

HIDDEN = "***"
ADDRESSES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
CREDENTIALS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
# user:password@ in any address, also of a git remote; a token may replace the user.
USER = re.compile(r"(?<=://)[^\s/@]*(?:@[^\s/@]*)*@")


def hide(text: str) -> str:
    """`text` with *** for passwords in addresses, and for those in MLflow's variables."""
    text = USER.sub(f"{HIDDEN}@", text)
    for secret in _in_use():
        text = text.replace(secret, HIDDEN)
    return text


def _in_use() -> set[str]:
    """Passwords and tokens of the environment, as written and with %-escapes decoded."""
    found = {os.environ.get(name, "") for name in CREDENTIALS}
    for name in ADDRESSES:
        if user := USER.search(os.environ.get(name, "")):
            token, _, password = user[0].removesuffix("@").partition(":")
            found.add(password or token)
    return {form for secret in found for form in (secret, unquote(secret)) if form}
