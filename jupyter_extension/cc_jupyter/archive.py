"""Workflows as archives. What comes in is hostile: nothing is written but plain files below a new folder of ours."""

import io
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from cc_jupyter.route import Refusal

MAX_FILES, MAX_DEPTH, MAX_NAME = 2_000, 10, 200
MAX_BYTES = 100_000_000  # of all files
MAX_RATIO, HARMLESS = 200, 1_000_000  # bytes out for each byte in, where more than the harmless come out
TOO_LARGE = f"more than {MAX_FILES:,} members, {MAX_BYTES:,} bytes or {MAX_RATIO} times what was sent would come out"
ERRORS = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, ValueError, RuntimeError, OverflowError, OSError)


Member = tuple[str, bool, bool, int, Callable[[], bytes]]  # name, is it no link or device, is it a folder, size, read


def files(data: bytes) -> dict[str, bytes]:
    """The files of a zip, tar or tar.gz by their paths, without a folder around all. Raises Refusal."""
    try:
        data, packed = _unzipped(data) if data[:2] == b"\x1f\x8b" else data, len(data)
        if data[:2] != b"PK" and data[257:262] != b"ustar":
            raise Refusal(415, "this is no zip, tar or tar.gz", "send one of these")
        found = _checked(_zip(data) if data[:2] == b"PK" else _tar(data), packed)
    except ERRORS as error:
        raise Refusal(400, f"the archive is damaged: {error}", "send it again") from None
    top = f"{min(found, default='').partition('/')[0]}/"
    whole = all(name.startswith(top) for name in found)
    return {name.removeprefix(top): content for name, content in found.items()} if whole else found


def packed(content: Mapping[str, bytes]) -> bytes:
    """The files as a zip; the same files are the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in sorted(content):
            archive.writestr(zipfile.ZipInfo(name), content[name], zipfile.ZIP_DEFLATED)
    return out.getvalue()


def write(content: Mapping[str, bytes], folder: Path) -> None:
    """Write files below a new folder; a path that is there is an error."""
    folder.mkdir(mode=0o700)
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(folder / name, "xb") as file:
            file.write(data)


def _zip(data: bytes) -> Iterator[Member]:
    archive = zipfile.ZipFile(io.BytesIO(data))
    for info in archive.infolist():
        plain = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR) and not info.flag_bits & 1
        yield info.orig_filename, plain, info.is_dir(), info.file_size, partial(archive.read, info)


def _tar(data: bytes) -> Iterator[Member]:
    if data[-1024:].strip(b"\0"):
        raise EOFError("its end is missing")
    archive = tarfile.TarFile(fileobj=io.BytesIO(data))
    for info in archive:
        plain = (info.isreg() or info.isdir()) and not info.issparse()
        file = archive.extractfile(info) if plain else None
        yield info.name, plain, info.isdir(), info.size, file.read if file else bytes


def _checked(members: Iterator[Member], packed: int) -> dict[str, bytes]:
    """The files among the members by their paths, each read after its check. Raises Refusal for what may not be."""
    found: dict[str, bytes] = {}
    seen, total = dict[str, tuple[str, bool]](), 0  # by the name without case: the name, is it a file
    for count, (name, plain, folder, size, read) in enumerate(members):
        path = name.removeprefix("./").rstrip("/" if folder else "")
        parts, total, told = path.split("/"), total + size, f"the archive's member {name[:100]!r}"
        if count >= MAX_FILES or total > MAX_BYTES or (total > HARMLESS and total > MAX_RATIO * packed):
            raise Refusal(413, TOO_LARGE)
        if folder and path in ("", "."):
            continue
        odd = any(part in ("", ".", "..") or len(part.encode()) > MAX_NAME for part in parts) or len(parts) > MAX_DEPTH
        if odd or "\\" in path or ":" in parts[0] or not path.isprintable() or not plain:
            raise Refusal(422, f"{told} is no plain file with a relative path of at most {MAX_DEPTH} short names")
        for depth in range(1, len(parts) + 1):
            part, is_file = "/".join(parts[:depth]), depth == len(parts) and not folder
            key = unicodedata.normalize("NFC", part).casefold()
            if seen.get(key, (part, False)) != (part, False) or (is_file and key in seen):
                raise Refusal(422, f"{told} is there twice, or differs from another only by upper and lower case")
            seen[key] = part, is_file
        if not folder and len(found.setdefault(path, read())) != size:
            raise EOFError(f"{path} is cut off")
    return found


def _unzipped(data: bytes) -> bytes:
    """The content of a gzip file, which may be neither truncated nor a bomb."""
    stream, most = zlib.decompressobj(31), min(MAX_BYTES, max(HARMLESS, MAX_RATIO * len(data))) + 10_000_000
    whole = stream.decompress(data, most)
    if len(whole) >= most:
        raise Refusal(413, TOO_LARGE)
    if not stream.eof:
        raise EOFError("its end is missing")
    return whole
