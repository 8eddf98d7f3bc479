"""What can be wrong with a backup."""

from doorward.hall.errors import ConflictError


class BackupError(ConflictError):
    """The backup cannot be made or used as things are."""

    code = "vault.backup"
    advice = "Nothing was changed. See docs/howto/backup.md."


class BackupDamagedError(BackupError):
    """The backup was changed, or is cut."""

    code = "vault.backup_damaged"
    advice = "Nothing was changed. Take another copy of it, or an older backup; `doorward verify` checks one."


class BackupForeignError(BackupError):
    """The backup is of another instance: this key ring does not open it."""

    code = "vault.backup_foreign"
    advice = "Nothing was changed. Use the key ring that it was made with (or its recovery sheet)."


class BackupTooNewError(BackupError):
    """The backup was made by a newer Doorward."""

    code = "vault.backup_too_new"
    advice = "Nothing was changed. Install the version that made it, or use an older backup."


class DrillFailedError(BackupError):
    """What was brought back is not what was backed up."""

    code = "vault.drill_failed"
    advice = "Do not rely on this backup. Make another one, run `doorward verify --drill` on it, and look at the disk."
