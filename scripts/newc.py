"""Writes newc cpio archives whose file contents can be mapped in place.

Contents that are to be mapped start on a page boundary. The alignment comes from trailing NULs in the
entry's name, which newc allows (the name's size counts them), so every cpio reader still reads the
archive.

An archive may start with an index, which guest-kernel/lib/cpio.h describes.
"""

import io

import stat

PAGE = 4096
HEADER_SIZE = 110
MAX_NAME_SIZE = 4096
MAX_CONTENT_SIZE = 0xFFFFFFFF
COPY_SIZE = 1 << 20
INDEX_NAME = b".newc-index"
TRAILER = b"TRAILER!!!"


class FilePart:
    """`size` bytes of the open file `file` from `offset`."""

    def __init__(self, file, offset, size):
        self.file, self.offset, self.size = file, offset, size

    def __len__(self):
        return self.size

    def copy_to(self, out):
        self.file.seek(self.offset)
        left = self.size
        while left:
            data = self.file.read(min(left, COPY_SIZE))
            if not data:
                raise ValueError(f"{self.file.name} became shorter while it was read")
            out.write(data)
            left -= len(data)


class Archive:
    """A newc archive that is written to `out` from an offset that is a multiple of a page."""

    def __init__(self, out, index_names=None):
        """With `index_names`, the names of all entries to come, `out` starts here, can be sought in, and
        gets an index."""
        self.out = out
        self.size = 0
        self.names = set()
        self.index = None
        if index_names is not None:
            self.index = Archive(io.BytesIO())
            encoded = [self._encoded(name) for name in index_names]
            size = sum((HEADER_SIZE + len(name) + 1 + 3) & ~3 for name in [*encoded, TRAILER])
            name_size = len(INDEX_NAME) + 1
            self._entry(INDEX_NAME, stat.S_IFREG | 0o444, bytes(size), name_size + self._padding(name_size), 0)
            self.index_start = self.size - size

    @staticmethod
    def _encoded(name):
        return name.strip("/").encode("utf-8", "surrogateescape") or b"."

    def _write(self, data):
        self.out.write(data)
        self.size += len(data)

    def header(self, name, name_size, fields):
        """`fields` are those from the inode to the device."""
        digits = b"".join(b"%08X" % field for field in (*fields, 0, 0, name_size, 0))
        header = b"070701" + digits + name.ljust(name_size, b"\0")
        self._write(header + bytes(-(self.size + len(header)) % 4))

    def _entry(self, name, mode, content, name_size, inode, links=1, owner=(0, 0), modified=0):
        self.header(name, name_size, (inode, mode, *owner, links, modified, len(content), 0, 0))
        if isinstance(content, FilePart):
            content.copy_to(self.out)
            self.size += len(content)
        else:
            self._write(content)
        self._write(bytes(-self.size % 4))

    def add(self, name, mode, content=b"", align=False, inode=None, **attributes):
        """Adds an entry; `content` is bytes or a FilePart. Hard links are entries with the same `inode`
        and their number as `links`; the last one has the content."""
        raw = self._encoded(name)
        if raw in self.names:
            raise ValueError(f"/{name.strip('/')} is given twice")
        if len(raw) >= 1024:
            raise ValueError(f"the name {name} is longer than 1023 bytes")
        if len(content) > MAX_CONTENT_SIZE:
            raise ValueError(f"/{name.strip('/')} has {len(content)} bytes; 4 GiB are too many for a cpio archive")
        self.names.add(raw)
        inode = inode or len(self.names)
        name_size = len(raw) + 1
        if align and len(content):
            if name_size + self._padding(name_size) > MAX_NAME_SIZE:
                # The padding does not fit into one name: an entry for the root takes half of it.
                self._entry(b".", stat.S_IFDIR | 0o755, b"", PAGE // 2 - HEADER_SIZE, inode)
            name_size += self._padding(name_size)
        self._entry(raw, mode, content, name_size, inode, **attributes)
        if self.index:
            self._add_to_index(raw, mode, len(content), inode, **attributes)

    def _add_to_index(self, name, mode, size, inode, links=1, owner=(0, 0), modified=0):
        offset = self.size - ((size + 3) & ~3)
        fields = (inode, mode, *owner, links, modified, size, offset >> 32, offset & 0xFFFFFFFF)
        self.index.header(name, len(name) + 1, fields)

    def _padding(self, name_size):
        return -(self.size + HEADER_SIZE + name_size) % PAGE

    def add_parents(self, name):
        parts = name.strip("/").split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            parent = "/".join(parts[:depth])
            if parent.encode() not in self.names:
                self.add(parent, stat.S_IFDIR | 0o755)

    def finish(self, multiple=PAGE):
        """Ends the archive, padded to a multiple of `multiple` bytes."""
        self._entry(TRAILER, 0, b"", len(TRAILER) + 1, 0)
        self._write(bytes(-self.size % multiple))
        if self.index:
            self.index.header(TRAILER, len(TRAILER) + 1, (0,) * 9)
            self.out.seek(self.index_start)
            self.out.write(self.index.out.getvalue())
