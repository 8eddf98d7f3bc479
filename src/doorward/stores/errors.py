"""What can go wrong with a store, and what to do about it."""

from doorward.hall.errors import ConflictError, UnavailableError


class StoreUnavailableError(UnavailableError):
    """The database is away, locked or overloaded."""

    code = "store.unavailable"
    advice = "Wait for the time that `Retry-After` gives. Operators: see whether the database runs and who locks it."


class StoreFullError(StoreUnavailableError):
    """The database has no room left to write; nothing was changed, and what was accepted earlier is kept."""

    code = "store.full"
    advice = "Operators: free disk space or enlarge the volume of the database; writing goes on by itself after that."


class StoreDamagedError(StoreUnavailableError):
    """The database file is damaged or is not a database."""

    code = "store.damaged"
    advice = "Operators: stop the service, keep a copy of the file, and run `doorward restore` with the last backup."


class CountersUnavailableError(UnavailableError):
    """The shared counters (Valkey or Redis) are away."""

    code = "counters.unavailable"
    advice = "Wait for the time that `Retry-After` gives. Operators: see whether the counters' server runs."


class SchemaOutdatedError(UnavailableError):
    """The tables of the database are older than this program."""

    code = "store.schema_outdated"
    advice = "Operators: make a backup, then run `doorward db upgrade`."


class SchemaTooNewError(UnavailableError):
    """The tables of the database are newer than this program."""

    code = "store.schema_too_new"
    advice = "Operators: install the version of Doorward that upgraded this database, or restore an older backup."


class StoreSetupError(ConflictError):
    """The database cannot be used as it is set up."""

    code = "store.setup"
    advice = "Operators: do what the message says and run the command again."


class NothingToCopyError(StoreSetupError):
    """The database has no tables to copy."""

    code = "store.nothing_to_copy"
    advice = "Operators: look whether `stores.database` names the right one; `doorward db upgrade` makes the tables."
