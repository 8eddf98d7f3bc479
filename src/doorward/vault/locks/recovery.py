"""The lock `recovery`: a random key that is nowhere but on a sheet of paper.

1. Four lines of sixteen letters: eight bytes of the key and two of a checksum each, in Crockford's base 32, which has
   no I, L, O and U; what somebody reads as those is taken as 1, 1 and 0.
2. The checksum (of the line's number, its bytes and the ring's id) finds a mistyped, swapped or foreign line before
   anything is tried, and names it.
3. Spaces, dashes, line numbers and letters' case do not matter.
"""

import hashlib
import re
import unicodedata
from datetime import UTC, datetime
from typing import Final

from doorward.vault.envelope import KEY_BYTES
from doorward.vault.errors import RecoverySheetError
from doorward.vault.locks.lock import KeyLock

KIND: Final = "recovery"
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ALIKE: Final = str.maketrans("ILO", "110")
_LINES: Final = 4
_PART_BYTES: Final = KEY_BYTES // _LINES
_CHECK_BYTES: Final = 2
_LINE_LETTERS: Final = (_PART_BYTES + _CHECK_BYTES) * 8 // 5
_LONGEST_TYPED: Final = 4_096
_LINE_NUMBER: Final = re.compile(r"^\s*[1-4]\s*[:.)]\s*", re.MULTILINE)
_BETWEEN: Final = re.compile(r"[\s\u2010-\u2015_-]+")

_SHEET: Final = """\
======================================================================
  DOORWARD  RECOVERY SHEET                              恢复密钥单
======================================================================

  Key ring / 密钥环   {ring_id}
  Made on / 制作日期  {date}

{lines}

----------------------------------------------------------------------
  This sheet opens the key ring when its usual key is lost. With it and
  the file keyring.json, somebody can read every personal value in the
  database. Print it, or copy it by hand; keep it locked away, far from
  the server and from its backups; keep no picture of it. It is shown
  only once. How to use it:

      doorward vault rekey --recovery      make a new usual key
      doorward vault unlock --recovery     open a server that waits

  A new sheet (this one then opens old copies of the file only):

      doorward vault rekey --new-recovery

  平常的密钥丢失时，用这张单子可以打开密钥环。任何人持有这张单子和
  keyring.json 文件，就能读取数据库中的全部个人数据。请打印或手抄，
  锁在安全的地方，远离服务器及其备份，不要拍照。此单只显示一次。
  使用方法见上面的命令；换新单后，这张单子只能打开旧的文件副本。
======================================================================
"""


def of_key(key: bytes, at: float) -> KeyLock:
    """The lock of a new sheet's key; `at` (Unix seconds) is the day that the ring's file will show."""
    return KeyLock(KIND, key, {"made_on": _day(at)})


def of_sheet(text: str, ring_id: str) -> KeyLock:
    """The lock of what somebody typed or copied from a sheet.

    Raises:
        RecoverySheetError: it is incomplete, mistyped (the line is named), or of another ring.
    """
    return KeyLock(KIND, read_lines(text, ring_id), {})


def sheet(key: bytes, ring_id: str, at: float) -> str:
    """The page to print: plain text in English and Chinese."""
    lines = "\n".join(f"      {line}" for line in lines_of(key, ring_id))
    return _SHEET.format(ring_id=ring_id, date=_day(at), lines=lines)


def lines_of(key: bytes, ring_id: str) -> list[str]:
    """The key as its four lines, such as `1: 7KQD 0M2V …` (rule 1)."""
    parts = [key[start : start + _PART_BYTES] for start in range(0, KEY_BYTES, _PART_BYTES)]
    result = []
    for number, part in enumerate(parts, 1):
        letters = _letters(part + _check(number, part, ring_id))
        result.append(f"{number}: " + " ".join(letters[start : start + 4] for start in range(0, _LINE_LETTERS, 4)))
    return result


def read_lines(text: str, ring_id: str) -> bytes:
    """The key of four lines (rules 2 and 3).

    Raises:
        RecoverySheetError: it is incomplete, mistyped (the line is named), or of another ring.
    """
    if len(text) > _LONGEST_TYPED:
        raise RecoverySheetError("That is far longer than the four lines of a recovery sheet.")
    text = unicodedata.normalize("NFKC", text)
    plain = _plain(text)
    if len(plain) != _LINES * _LINE_LETTERS:  # perhaps the whole sheet: then the numbered lines count
        plain = _plain("\n".join(line for line in text.splitlines() if _LINE_NUMBER.match(line))) or plain
    if len(plain) != _LINES * _LINE_LETTERS:
        raise RecoverySheetError(f"The four lines have {_LINES * _LINE_LETTERS} letters; these are {len(plain)}.")
    lines = [plain[start : start + _LINE_LETTERS] for start in range(0, len(plain), _LINE_LETTERS)]
    return b"".join(_part(number, letters, ring_id) for number, letters in enumerate(lines, 1))


def _plain(text: str) -> str:
    """3. The letters without what stands between them."""
    return _BETWEEN.sub("", _LINE_NUMBER.sub("", text)).upper().translate(_ALIKE)


def _part(number: int, letters: str, ring_id: str) -> bytes:
    if not set(letters) <= set(_ALPHABET):
        raise RecoverySheetError(f"Line {number} holds a sign that no recovery sheet has.")
    value = 0
    for letter in letters:
        value = value << 5 | _ALPHABET.index(letter)
    data = value.to_bytes(_PART_BYTES + _CHECK_BYTES, "big")
    part, check = data[:_PART_BYTES], data[_PART_BYTES:]
    if check != _check(number, part, ring_id):
        raise RecoverySheetError(f"Line {number} is mistyped, or this sheet is of another key ring.")
    return part


def _letters(data: bytes) -> str:
    number = int.from_bytes(data, "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(len(data) * 8 - 5, -5, -5))


def _check(number: int, part: bytes, ring_id: str) -> bytes:
    return hashlib.sha256(f"doorward/recovery\0{ring_id}\0{number}\0".encode() + part).digest()[:_CHECK_BYTES]


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"
