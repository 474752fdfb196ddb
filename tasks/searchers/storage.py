"""Where the study lives: a journal file of this workspace, or a database that workers share."""

import logging
import os
from pathlib import Path

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, get_storage
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from tasks.errors import ParamsError
from tasks.searchers.journal import open_journal
from tasks.sections.storage import STORAGE_VARIABLE, hide_passwords

log = logging.getLogger(__name__)


def open_storage(setting: str, journal: Path) -> BaseStorage:
    """The storage that `runtime.search_storage` names.

    Args:
        setting: "journal", "env" (the URL stands in the environment) or a URL.
        journal: the file of the first.

    Raises:
        ParamsError: the variable is not set, the URL is none, its driver is not installed or the
            database does not answer. No message shows a password.
    """
    if setting == "journal":
        return open_journal(journal)
    url = os.environ.get(STORAGE_VARIABLE, "") if setting == "env" else setting
    if not url:
        raise ParamsError(
            f"runtime.search_storage is 'env' but {STORAGE_VARIABLE} is not set; put the "
            "database's URL into it, or set search_storage to journal"
        )
    try:
        shown = hide_passwords(make_url(url).render_as_string(hide_password=True))
    except SQLAlchemyError:
        raise ParamsError("runtime.search_storage: not a database URL; see the README") from None
    try:
        storage = get_storage(url)
    except ImportError:
        raise ParamsError(
            f"runtime.search_storage: the driver of {shown} is not installed; for PostgreSQL: "
            "pip install psycopg2-binary"
        ) from None
    except (SQLAlchemyError, StorageInternalError) as error:
        raise ParamsError(
            f"runtime.search_storage: {shown} cannot be opened ({type(error).__name__})"
        ) from None
    log.info("the study is kept in %s", shown)
    return storage
