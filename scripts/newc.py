"""Writes newc cpio archives whose file contents can be mapped in place.

Contents that are to be mapped start on a page boundary. The alignment comes from trailing NULs in the
entry's name, which newc allows (the name's size counts them), so every cpio reader still reads the
archive.
"""

import stat

PAGE = 4096
HEADER_SIZE = 110
MAX_NAME_SIZE = 4096
MAX_CONTENT_SIZE = 0xFFFFFFFF
COPY_SIZE = 1 << 20


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

    def __init__(self, out):
        self.out = out
        self.size = 0
        self.names = set()

    def _write(self, data):
        self.out.write(data)
        self.size += len(data)

    def _entry(self, name, mode, content, name_size, inode, links=1, owner=(0, 0), modified=0):
        fields = (inode, mode, *owner, links, modified, len(content), 0, 0, 0, 0, name_size, 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields) + name.ljust(name_size, b"\0")
        self._write(header + bytes(-(self.size + len(header)) % 4))
        if isinstance(content, FilePart):
            content.copy_to(self.out)
            self.size += len(content)
        else:
            self._write(content)
        self._write(bytes(-self.size % 4))

    def add(self, name, mode, content=b"", align=False, inode=None, **attributes):
        """Adds an entry; `content` is bytes or a FilePart. Hard links are entries with the same `inode`
        and their number as `links`; the last one has the content."""
        raw = name.strip("/").encode("utf-8", "surrogateescape") or b"."
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
        self._entry(b"TRAILER!!!", 0, b"", len("TRAILER!!!") + 1, 0)
        self._write(bytes(-self.size % multiple))
