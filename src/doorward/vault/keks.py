"""The key-encryption keys of this database, opened by the ring; looked up again when an unknown version turns up."""

import threading
from collections.abc import Callable

from sqlalchemy import Connection

from doorward.hall.errors import SealBrokenError
from doorward.vault import tables
from doorward.vault.envelope import Kek, new_key
from doorward.vault.model import KekState, SealedKek
from doorward.vault.ring import Ring


class KeyEncryptionKeys:
    """Opened on first use, kept in memory only. Used from several threads."""

    def __init__(self, ring: Callable[[], Ring]) -> None:
        """Open keys with what `ring` answers (it raises VaultLockedError while the vault is locked)."""
        self._ring = ring
        self._lock = threading.Lock()
        self._keks: dict[int, Kek] = {}
        self._active = 0

    def active(self, connection: Connection) -> Kek:
        """The key that wraps new data keys.

        Raises:
            SealBrokenError: the database has none, or it is another ring's.
        """
        if not self._active:
            self.reload(connection)
        return self.of(connection, self._active)

    def of(self, connection: Connection, version: int) -> Kek:
        """The key of a version.

        Raises:
            SealBrokenError: there is none, or it is another ring's.
        """
        if version not in self._keks:
            self.reload(connection)
        try:
            return self._keks[version]
        except KeyError:
            raise SealBrokenError(f"There is no key-encryption key of version {version}.") from None

    def reload(self, connection: Connection) -> None:
        """Look again which keys there are."""
        found = tables.all_keks(connection)
        opened = {one.version: Kek(self._ring().open_kek(one.version, one.sealed), one.version) for one in found}
        with self._lock:
            self._keks = opened
            self._active = max((one.version for one in found if one.state is KekState.ACTIVE), default=0)

    def forget(self) -> None:
        """Drop all from memory; they are opened again when needed."""
        with self._lock:
            self._keks, self._active = {}, 0

    def add(self, connection: Connection, version: int, now: float) -> bool:
        """Make the key of a version in the running transaction; False if it is there already."""
        sealed = self._ring().seal_kek(version, new_key())
        return tables.add_kek(connection, SealedKek(version, sealed, KekState.ACTIVE, now))
