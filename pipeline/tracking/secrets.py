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
# In characters. A shorter password may be a part of usual words: 'p' of 'http'.
SHORT = 6


def hide(text: str) -> str:
    """`text` with *** for passwords in addresses, and for those in MLflow's variables."""
    text = USER.sub(f"{HIDDEN}@", text)
    for secret in sorted(_in_use(), key=len, reverse=True):
        text = _pattern(secret).sub(HIDDEN, text)
    # Again: an address whose password has a '/' matches only now.
    return OPTION.sub(rf"\1{HIDDEN}", USER.sub(f"{HIDDEN}@", text))


def _pattern(secret: str) -> re.Pattern[str]:
    """Finds `secret` anywhere; a short one only as a whole word, and not as the scheme of an
    address."""
    anywhere = re.escape(secret)
    return re.compile(anywhere if len(secret) >= SHORT else rf"(?<!\w){anywhere}(?!\w|://)")


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
