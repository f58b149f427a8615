"""Reading tables that users have: rows of text files, arrays of NPZ files. The rooms check what the numbers mean.

One reader for all: as spreadsheets, pandas, NumPy, networkx and Gephi write tables, and as people type them. A file may
begin with a byte-order mark, have the line ends of any system and be compressed by gzip. Its columns are separated by
semicolons, tabs, commas or spaces, the same throughout; lines that begin with # or % are comments. Numbers have decimal
points, or decimal commas if commas do not separate the columns. What is not understood is refused with its line.
"""

import csv
import dataclasses
import gzip
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pullback.core._errors import InputError

_POINT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?", re.ASCII)
_COMMA = re.compile(r"[+-]?\d*,\d+([eEdD][+-]?\d+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_COMMENTS = ("#", "%")
_SHOWN = 60  # characters of a line in a message


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """The cells of a text file.

    Attributes:
        path: the file.
        rows: (line number, cells) of each line that is neither empty nor a comment.
        comments: (line number, text) of each comment.
        decimal_comma: whether numbers are written as 1,5.
    """

    path: Path
    rows: list[tuple[int, list[str]]]
    comments: list[tuple[int, str]]
    decimal_comma: bool

    def error(self, line: int, text: str) -> InputError:
        """The error to raise about a line."""
        return InputError(f"{self.path}: line {line}{text if text[:1] in ', ' else f': {text}'}")

    def is_number(self, cell: str) -> bool:
        """Whether a cell is a number, finite or not."""
        plain = _plain(cell)
        decimal = self.decimal_comma and _COMMA.fullmatch(plain)
        return bool(_POINT.fullmatch(plain) or decimal or _NOT_FINITE.fullmatch(plain))

    def number(self, line: int, cell: str, column: str = "") -> float:
        """The number in a cell.

        Raises:
            InputError: it holds none, or one that is not finite, or a point in a file with decimal commas.
        """
        where, plain = f", column {column!r}: " if column else "", _plain(cell)
        if self.decimal_comma and _POINT.fullmatch(plain) and "." in plain:
            raise self.error(line, f"{where}{cell!r} has a point, other numbers of this file have decimal commas")
        if not self.is_number(cell):
            raise self.error(line, f"{where}{cell[:_SHOWN]!r} is not a number")
        if _NOT_FINITE.fullmatch(plain) or not np.isfinite(value := float(_python(plain))):
            raise self.error(line, f"{where}{cell} is not finite")
        return value

    def named(self, header: bool, names: Sequence[str]) -> "tuple[list[str], Table]":
        """The names of the columns in small letters, and the table below them.

        A first column without a name, in which pandas keeps the number of the row, is left out.

        Args:
            header: whether the first row has the names.
            names: those of a table without them.

        Raises:
            InputError: a name appears twice; a row has more or fewer cells than there are columns.
        """
        rows, found = self.rows, [*names]
        if header:
            found, rows = [cell.lower() for cell in rows[0][1]], rows[1:]
        for line, cells in rows:
            if len(cells) != len(found):
                hint = "" if header else ", or their names in a first line"
                raise self.error(line, f" has {len(cells)} columns, needs {len(found)}: {', '.join(found)}{hint}")
        if header and (found[0] == "" or found[0].startswith("unnamed: ")):
            found, rows = found[1:], [(line, cells[1:]) for line, cells in rows]
        if len(set(found)) < len(found):
            raise InputError(f"{self.path}: a column name appears twice: {', '.join(found)}")
        return found, dataclasses.replace(self, rows=rows)

    def numbers(self, column: int, name: str) -> np.ndarray:
        """The numbers of a column. Raises `InputError` as `number`."""
        return np.array([self.number(line, cells[column], name) for line, cells in self.rows], dtype=float)


def read_table(path: Path) -> Table:
    """The table in a text file.

    Raises:
        InputError: the file cannot be read, or is no text, or a line has quotes that do not end or, between commas,
            several numbers.
    """
    lines, comments = [], []
    mark = None
    for number, line in enumerate(text_lines(path), 1):
        text = line.strip(" ")
        if not text.strip(" \t;,"):
            continue
        if text.startswith(_COMMENTS):
            comments.append((number, text))
        elif not lines and (said := re.fullmatch(r'"?sep=(.)"?', text)):  # the first line, for Excel
            mark = said[1]
        else:
            lines.append((number, text))
    mark = mark or _delimiter([text for _, text in lines])
    rows = [(number, _cells(path, number, text, mark)) for number, text in lines]
    while rows and len({len(cells) for _, cells in rows}) == 1 and len(rows[0][1]) > 1:
        if any(cells[-1] for _, cells in rows):
            break
        rows = [(number, cells[:-1]) for number, cells in rows]  # a delimiter at the end of every line
    commas = any(_COMMA.fullmatch(_plain(cell)) for _, cells in rows for cell in cells)
    return Table(path, rows, comments, mark != "," and commas)


def data_file(path: Path, suffixes: Sequence[str] | None = None) -> Path:
    """`path`, if it is a file of a known kind that is not empty; the suffix .gz may follow that of its kind.

    Raises:
        InputError: it is not.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder, a file is needed")
        if not path.is_file():
            raise InputError(f"{path}: {'not an ordinary file' if path.exists() else 'no such file'}")
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty")
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    kind = path.with_suffix("").suffix if path.suffix.lower() == ".gz" else path.suffix
    if suffixes is not None and kind.lower() not in suffixes:
        raise InputError(f"{path}: unknown kind of file {path.suffix!r}; known are {', '.join(suffixes)}")
    return path


def text_lines(path: Path) -> list[str]:
    """The lines of a text file, in UTF-8, or in UTF-16 if it says so; uncompressed if it is compressed by gzip.

    Raises:
        InputError: the file cannot be read, or is no text.
    """
    try:
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
        text = data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: not a whole gzip file ({error})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file, or not in UTF-8") from error
    if control := re.search(r"[\x00-\x08\x0e-\x1f\x7f]", text):
        line = text.count("\n", 0, control.start()) + 1
        raise InputError(f"{path}: not a text file: it has the byte {ord(control[0])} in line {line}")
    return re.split(r"\r\n|\n|\r", text)


def npz_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an NPZ file, as real numbers.

    Raises:
        InputError: the file is not of its kind, or holds something else than real numbers.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: real_numbers(path, name, file[name]) for name in file.files}
    except InputError:
        raise
    except Exception as error:  # damaged archives raise many kinds, from NumPy, zipfile and zlib
        raise InputError(f"{path}: not an NPZ file of numbers ({_first_line(error)})") from error


def real_numbers(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """`values` in double precision, if they are real numbers.

    Raises:
        InputError: they are not.
    """
    if values.dtype.kind not in "iuf":
        raise InputError(f"{path}: {name} holds {values.dtype}, real numbers are needed")
    return np.asarray(values, dtype=float)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _delimiter(lines: list[str]) -> str:
    """What separates the columns of every line; spaces and tabs together are spaces."""
    bare = [re.sub(r'"[^"]*"', "", line) for line in lines]
    if any(";" in line for line in bare[:1]):
        return ";"
    if bare and all("\t" in line for line in bare):
        return "\t"
    return "," if any("," in line for line in bare[:1]) else " "


def _cells(path: Path, number: int, text: str, mark: str) -> list[str]:
    if mark == " ":
        text = text.replace("\t", " ")
    try:
        [cells] = csv.reader([text], delimiter=mark, skipinitialspace=True, strict=True)
    except (csv.Error, ValueError) as error:
        raise InputError(f"{path}: line {number}: cannot be read ({error}): {text[:_SHOWN]!r}") from None
    cells = [cell.strip() for cell in cells]
    several = next((cell for cell in cells if " " in cell and all(map(_POINT.fullmatch, cell.split()))), None)
    if mark == "," and several:
        raise InputError(
            f"{path}: line {number}: {several[:_SHOWN]!r} are several numbers between commas; if commas are decimal, "
            "separate the columns by ;"
        )
    return cells


def _plain(cell: str) -> str:
    return cell.replace("\N{MINUS SIGN}", "-")


def _python(plain: str) -> str:
    return re.sub("[dD]", "e", plain).replace(",", ".")
