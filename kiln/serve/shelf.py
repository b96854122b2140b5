"""The files that an upload may speak of: those that came, with it or before it, and those that the cache has already.

What came is verified; what the cache has was verified when it came, and is checked again by digest as it is read.
Which of the files that came are spoken of is noted: those become the cache's, and no others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from kiln.serve.quarantine import Upload
from kiln.serve.refusal import Refused
from kiln.store.cache.chunking import open_chunk
from kiln.store.cache.head import SegmentEntry
from kiln.store.cache.objectrecord import BlobPlace, Chunked, Sliced
from kiln.store.cache.pack import Frame, Place, open_frame, place_size
from kiln.store.cache.segment import TAIL, SegmentIndex, decode_index, footer_length, lookup, read_segment
from kiln.store.digest import blob_digest
from kiln.store.errors import Damaged

_KEPT_FRAMES = 64


class Shelf:
    """Reads files by their names in the cache: of the upload first, then of what was kept, then the cache's.

    `used` are the names of those that were read and came from the uploader, each with the place where it lies.
    `pause` is called now and then; what it raises ends the work.
    """

    def __init__(self, upload: Upload, cache: str, pause: Callable[[], None] = lambda: None) -> None:
        self._folders = (upload.files, upload.kept)
        self._cache = cache
        self.pause = pause
        self.used: dict[str, str] = {}
        self._frames: dict[Frame, bytes] = {}
        self._indexes: dict[SegmentEntry, SegmentIndex] = {}

    def whole(self, path: str) -> bytes:
        """A whole file. Raises Refused where there is none."""
        with open(self._find(path), "rb") as file:
            return file.read()

    def place(self, place: Place) -> Iterator[bytes]:
        """The content at a place, slice by slice. Raises Refused, Damaged."""
        for piece in place:
            self.pause()
            yield self._frame(piece.frame)[piece.start : piece.start + piece.length]

    def joined(self, place: Place, limit: int) -> bytes:
        """The content at a place, whose size is looked at before a byte is read. Raises Refused, Damaged."""
        if (size := place_size(place)) > limit:
            raise Damaged(
                "a row with more content than its kind may have", expected=f"{limit} bytes", found=f"{size}"
            )
        return b"".join(self.place(place))

    def blob(self, blob: BlobPlace) -> Iterator[bytes]:
        """A blob's content, piece by piece; its digest is the caller's to check. Raises Refused, Damaged."""
        match blob:
            case Sliced(place):
                yield from self.place(place)
            case Chunked(chunks):
                for chunk in chunks:
                    self.pause()
                    yield open_chunk(chunk, self.whole(chunk.path))

    def rows(self, entries: Iterable[SegmentEntry], keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Rows of segments that a head names; of two, the newer. Raises Refused, Damaged."""
        found: dict[bytes, bytes] = {}
        wanted = set(keys)
        for entry in entries:
            if wanted:
                new = lookup(self.index(entry), wanted, lambda spans, path=entry.path: self._ranges(path, spans))  # type: ignore[misc]
                found.update(new)
                wanted -= new.keys()
        return found

    def all_rows(self, entry: SegmentEntry, limit: int) -> dict[bytes, bytes]:
        """Every row of a segment, which has at most so many bytes of them. Raises Refused, Damaged."""
        return read_segment(entry.digest, self.whole(entry.path), limit=limit)[1]

    def index(self, entry: SegmentEntry) -> SegmentIndex:
        """The footer of a segment, which must be the one that the head vouches for. Raises Refused, Damaged."""
        if entry not in self._indexes:
            size = os.path.getsize(self._find(entry.path))
            tail = self._ranges(entry.path, [(max(0, size - TAIL), TAIL)])[0]
            length = footer_length(tail)
            footer = self._ranges(entry.path, [(max(0, size - TAIL - length), length)])[0]
            if (size, length, blob_digest(footer)) != (entry.size, entry.footer_size, entry.footer_digest):
                raise Damaged("a segment is not the one that the head names", found=entry.path)
            self._indexes[entry] = decode_index(footer)
        return self._indexes[entry]

    def _frame(self, frame: Frame) -> bytes:
        if frame not in self._frames:
            if len(self._frames) >= _KEPT_FRAMES:
                del self._frames[next(iter(self._frames))]
            self._frames[frame] = open_frame(frame, self._ranges(frame.path, [(frame.offset, frame.stored)])[0])
        return self._frames[frame]

    def _ranges(self, path: str, spans: Iterable[tuple[int, int]]) -> list[bytes]:
        with open(self._find(path), "rb") as file:
            return [os.pread(file.fileno(), length, offset) for offset, length in spans]

    def _find(self, path: str) -> str:
        for folder in self._folders:
            place = os.path.join(folder, path)
            if os.path.isfile(place):
                self.used[path] = place
                return place
        place = os.path.join(self._cache, path)
        if os.path.isfile(place):
            return place
        raise Refused("missing", "a file that is neither in the upload nor in the cache", status=422, path=path)
