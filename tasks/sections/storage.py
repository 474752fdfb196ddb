"""Where the study of a search lives: the setting `runtime.search_storage`."""

import re
from typing import Annotated

from pydantic import AfterValidator

STORAGE_VARIABLE = "FEWLAYERS_SEARCH_STORAGE"
SECRETS = (
    (re.compile(r"(://[^/@:\s]*):[^/\s]*@"), r"\1:***@"),  # user:password@host
    (re.compile(r"(?i)(passw(?:or)?d=)[^&\s'\"]+"), r"\1***"),
)


def hide_passwords(text: str) -> str:
    """The text with the passwords of the URLs in it replaced by ***."""
    for pattern, shown in SECRETS:
        text = pattern.sub(shown, text)
    return text


def refuse_password(url: str) -> str:
    """The URL. Raises ValueError where it holds a password, which would be stored and shown."""
    if hide_passwords(url) != url:
        raise ValueError(
            f"a URL must not hold a password, here {hide_passwords(url)}: it would be written down "
            "and shown; fetch the file yourself and give its path"
        )
    return url


def check_storage(value: str) -> str:
    """The setting, if it may stand in params.yaml. Raises ValueError."""
    if value in {"journal", "env"}:
        return value
    if hide_passwords(value) != value:
        raise ValueError(
            f"a URL in params.yaml must not hold a password; put the URL into the environment "
            f"variable {STORAGE_VARIABLE} and set this to env"
        )
    if "://" not in value:
        raise ValueError(
            "must be journal, env or a database's URL such as postgresql://user@host/database"
        )
    return value


Storage = Annotated[str, AfterValidator(check_storage)]
