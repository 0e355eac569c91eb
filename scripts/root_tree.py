"""The files of a root file system, put together from Debian packages."""

import os
import posixpath
import stat

import newc
from debian_packages import PackageError, alternatives, members

# Where a merged /usr has moved the directories at the top.
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")

UNUSED = ("usr/share/doc", "usr/share/doc-base", "usr/share/man", "usr/share/info", "usr/share/locale",
          "usr/share/lintian", "usr/share/bug", "usr/share/gtk-doc", "usr/share/help", "usr/share/linda")

DIRECTORIES = {"dev": 0o755, "etc": 0o755, "home": 0o755, "mnt": 0o755, "proc": 0o555, "root": 0o700, "run": 0o755,
               "sys": 0o555, "tmp": 0o1777, "usr": 0o755, "usr/bin": 0o755, "usr/lib": 0o755, "usr/sbin": 0o755,
               "var": 0o755, "var/log": 0o755, "var/tmp": 0o1777}

# What the maintainer scripts of base-files and base-passwd copy where the file is missing.
COPIES = {"etc/passwd": "usr/share/base-passwd/passwd.master", "etc/group": "usr/share/base-passwd/group.master",
          "etc/nsswitch.conf": "usr/share/base-files/nsswitch.conf", "etc/profile": "usr/share/base-files/profile",
          "root/.bashrc": "usr/share/base-files/dot.bashrc", "root/.profile": "usr/share/base-files/dot.profile"}

TEXTS = {"etc/hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
         "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n"
                              "protocols: files\nservices: files\n",
         "etc/shells": "/bin/sh\n"}

LINK_LIMIT = 40


class Entry:
    """A file, directory or symbolic link. `content` is bytes or a newc.FilePart."""

    def __init__(self, mode, content=b"", owner=(0, 0), modified=None):
        self.mode, self.content, self.owner, self.modified = mode, content, owner, modified

    def is_directory(self):
        return stat.S_ISDIR(self.mode)

    def is_link(self):
        return stat.S_ISLNK(self.mode)


def directory(permissions=0o755):
    return Entry(stat.S_IFDIR | permissions)


def link(target):
    return Entry(stat.S_IFLNK | 0o777, target.encode("utf-8", "surrogateescape"))


def file(content, permissions=0o644):
    return Entry(stat.S_IFREG | permissions, content)


class RootTree:
    def __init__(self, keep_docs=False, newest=None):
        self.nodes = {}  # Path without a leading '/' -> Entry. Hard links are one Entry at several paths.
        self.keep_docs = keep_docs
        self.newest = newest
        self.latest = 0  # The youngest file of a package: the time of what is made here.
        self.choices = []

    def add_package(self, package):
        contents = open(package.contents, "rb")  # pylint: disable=consider-using-with  # read at the end
        for member in members(package):
            name = self.place(member.name)
            if not name or not (self.keep_docs or not self.is_unused(name)):
                continue
            modified = int(member.mtime)
            self.latest = max(self.latest, modified)
            attributes = {"owner": (member.uid, member.gid), "modified": modified}
            if member.isdir():
                self.add_directory(name, Entry(stat.S_IFDIR | member.mode, **attributes))
            elif member.issym():
                self.add(name, Entry(stat.S_IFLNK | 0o777, link(member.linkname).content, **attributes))
            elif member.islnk():
                self.add(name, self.hard_linked(package, member))
            elif member.isreg():
                part = newc.FilePart(contents, member.offset_data, member.size)
                self.add(name, Entry(stat.S_IFREG | member.mode, part, **attributes))
            else:
                raise PackageError(f"{package}: /{name} is no file, directory or link")
        script = package.script.read_text("utf-8", "replace")
        self.choices += [choice for choice in alternatives(script) if choice[2] != "/dev/null"]

    def hard_linked(self, package, member):
        target = self.nodes.get(self.place(member.linkname))
        if target is None:
            raise PackageError(f"{package}: {member.name} is a hard link to {member.linkname}, which is missing")
        return target

    def place(self, path):
        """Where `path` belongs when the links on the way to it are followed."""
        parts = [part for part in posixpath.normpath("/" + path).split("/") if part]
        if parts and parts[0] in MERGED:
            parts.insert(0, "usr")
        followed = 0
        depth = 1
        while depth < len(parts):
            entry = self.nodes.get("/".join(parts[:depth]))
            if entry is None or not entry.is_link():
                depth += 1
                continue
            followed += 1
            if followed > LINK_LIMIT:
                raise PackageError(f"/{path} lies behind a loop of links")
            target = entry.content.decode("utf-8", "surrogateescape")
            parent = "/" + "/".join(parts[:depth - 1])
            rest = parts[depth:]
            return self.place(posixpath.join(parent, target, *rest))
        return "/".join(parts)

    def is_unused(self, name):
        return any(name == top or name.startswith(top + "/") for top in UNUSED)

    def add_directory(self, name, entry):
        present = self.nodes.get(name)
        if present is None or present.is_directory():
            self.add(name, entry)
        elif not present.is_link():
            raise self._clash(name)

    def add(self, name, entry):
        present = self.nodes.get(name)
        if present is not None and present.is_directory() and not entry.is_directory():
            if entry.is_link():
                return  # As dpkg does it: a directory that is there stays.
            raise self._clash(name)
        parent = posixpath.dirname(name)
        if parent and parent not in self.nodes:
            self.add(parent, directory())
        self.nodes[name] = entry

    @staticmethod
    def _clash(name):
        return PackageError(f"/{name} is a directory in one package and a file in another")

    def add_missing(self, name, entry):
        if self.place(name) not in self.nodes:
            self.add(self.place(name), entry)

    def add_own(self, word):
        name, separator, path = word.partition("=")
        if not separator or not name.strip("/") or not path:
            raise PackageError(f"'{word}' is not PATH=FILE")
        try:
            with open(path, "rb") as contents:
                is_executable = os.fstat(contents.fileno()).st_mode & 0o111
                self.add(self.place(name), file(contents.read(), 0o755 if is_executable else 0o644))
        except OSError as error:
            raise PackageError(f"cannot read {path}: {error.strerror}") from None

    def complete(self, defaults):
        """Adds what packages leave to their scripts and the installer. `defaults` is a folder of files for
        what no package has."""
        for name, permissions in DIRECTORIES.items():
            self.add_missing(name, directory(permissions))
        for name in MERGED:
            if "usr/" + name in self.nodes:
                self.nodes[name] = link("usr/" + name)
        self.add_missing("var/run", link("/run"))
        self.add_missing("var/lock", link("/run/lock"))
        for name, source in COPIES.items():
            if source in self.nodes:
                self.add_missing(name, file(self.nodes[source].content))
        for path in sorted(defaults.rglob("*")):
            if path.is_file():
                self.add_missing(str(path.relative_to(defaults)), file(path.read_bytes()))
        for name, text in TEXTS.items():
            self.add_missing(name, file(text.encode()))
        self.choose_alternatives()

    def choose_alternatives(self):
        """Makes the links of update-alternatives: for each name, to the path with the highest priority."""
        best = {}
        for choice in self.choices:
            _, name, path, priority, _ = choice
            if self.exists(path) and (name not in best or priority > best[name][3]):
                best[name] = choice
        for where, name, path, _, slaves in best.values():
            for slave_where, slave_name, slave_path in [(where, name, path), *slaves]:
                if self.exists(slave_path):
                    self.add_missing(f"etc/alternatives/{slave_name}", link(slave_path))
                    self.add_missing(slave_where, link(f"/etc/alternatives/{slave_name}"))

    def exists(self, path):
        return self.place(path) in self.nodes

    def entries(self):
        """Each entry as (name, mode, content, attributes for newc.Archive.add), parents first."""
        numbers = {}
        names = sorted(self.nodes, key=lambda name: name.split("/"))
        counts = {}
        for name in names:
            entry = id(self.nodes[name])
            counts[entry] = counts.get(entry, 0) + 1
        left = dict(counts)
        for name in names:
            entry = self.nodes[name]
            number = numbers.setdefault(id(entry), len(numbers) + 1)
            left[id(entry)] -= 1
            modified = self.latest if entry.modified is None else entry.modified
            if self.newest is not None:
                modified = min(modified, self.newest)
            attributes = {"inode": number, "links": counts[id(entry)], "owner": entry.owner,
                          "modified": max(0, modified)}
            yield name, entry.mode, entry.content if left[id(entry)] == 0 else b"", attributes
