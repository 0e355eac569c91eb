"""Debian packages by name: apt settles what they depend on and fetches them, as for an empty system.

A package's files are kept in a cache as a tar file that is not compressed, so that contents are copied
from there straight to where they are wanted. Nothing is installed, and no maintainer script is run.
"""

import concurrent.futures
import contextlib
import fcntl
import hashlib
import os
import re
import shlex
import subprocess
import tarfile
import urllib.parse
from pathlib import Path


class PackageError(Exception):
    """What is wrong with the packages, the network, or the cache; the message is for people."""


class Package:
    """A package of a certain version, and where its .deb file is or will be."""

    def __init__(self, file, digest):
        self.file = file
        self.name, self.version, _ = (urllib.parse.unquote(part) for part in file.stem.split("_"))
        self.digest = digest
        self.contents = self.script = None

    def __str__(self):
        return f"{self.name} {self.version}"


class Cache:
    """The folder of what was fetched. One process at a time uses it."""

    def __init__(self, folder):
        self.folder = Path(folder)

    @contextlib.contextmanager
    def locked(self):
        try:
            for folder in ("contents", "partial", "nothing/partial"):
                (self.folder / folder).mkdir(parents=True, exist_ok=True)
            lock = open(self.folder / "in-use", "w", encoding="utf-8")
        except OSError as error:
            raise PackageError(f"cannot use the folder for packages {self.folder}: {error.strerror}") from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def resolve(self, names):
        """The packages with those names and all that they depend on."""
        # Apt leaves out what it has fetched already.
        done = self._apt("--print-uris", self.folder / "nothing", names)
        if done.returncode != 0:
            raise PackageError(self._why(done.stdout + done.stderr, names))
        packages = []
        for line in done.stdout.splitlines():
            # 'URI' FILE SIZE HASH:DIGEST
            match = re.fullmatch(r"'([^']*)' (\S+) \d+ ?(?:SHA256:([0-9a-f]{64}))?", line)
            if not match:
                continue
            uri, file, digest = match.groups()
            if uri.startswith(("file:", "/")):
                path = Path(urllib.parse.unquote(urllib.parse.urlparse(uri).path))
            else:
                path = self.folder / file
            packages.append(Package(path, digest))
        if not packages:
            raise PackageError(f"apt finds nothing to install for {' '.join(names)}")
        for package in packages:
            if package.digest is None:
                package.digest = digest_of(package.file)
        return sorted(packages, key=lambda package: package.name)

    def fetch(self, packages, names, report):
        """Makes `contents` and `script` of each package files in the cache."""
        missing = []
        for package in packages:
            package.contents = self.folder / "contents" / f"{package.digest}.tar"
            package.script = self.folder / "contents" / f"{package.digest}.postinst"
            if not package.contents.exists():
                missing.append(package)
        absent = [package for package in missing if not package.file.exists()]
        if absent:
            report(f"downloading {len(absent)} packages")
            done = self._apt("--download-only", self.folder, names)
            if done.returncode != 0:
                raise PackageError(self._why(done.stdout + done.stderr, names))
        if missing:
            report(f"unpacking {len(missing)} packages")
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for _ in pool.map(unpack, missing):
                pass

    def _apt(self, action, archives, names):
        options = {"Dir::State::status": "/dev/null",  # Nothing is installed.
                   "Dir::State::extended_states": "/dev/null",
                   "Dir::Cache::archives": f"{archives.resolve()}/",
                   "Dir::Cache::pkgcache": f"{self.folder.resolve()}/pkgcache.bin",
                   "Dir::Cache::srcpkgcache": f"{self.folder.resolve()}/srcpkgcache.bin",
                   "Debug::NoLocking": "1", "Acquire::ForceHash": "sha256",
                   "APT::Get::AllowUnauthenticated": "0", "APT::Install-Recommends": "0"}
        if os.geteuid() == 0:
            options["APT::Sandbox::User"] = "root"  # Another one could not write to the cache.
        command = ["apt-get", "install", "-q", "--yes", action]
        for key, value in options.items():
            command += ["-o", f"{key}={value}"]
        try:
            return subprocess.run([*command, "--", *names], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  errors="replace", env={**os.environ, "LC_ALL": "C"}, check=False)
        except FileNotFoundError:
            raise PackageError("apt-get is missing: packages come from a Debian host's apt") from None

    def _why(self, text, names):
        """What apt's messages mean."""
        unknown = re.findall(r"Unable to locate package (\S+)", text)
        unknown += re.findall(r"Couldn't find any package by (?:glob|regex) '([^']*)'", text)
        unknown += re.findall(r"Package '([^']*)' has no installation candidate", text)
        unknown += [f"{name}={version}" for version, name in
                    re.findall(r"Version '([^']*)' for '([^']*)' was not found", text)]
        if unknown:
            return (f"apt knows no package {', '.join(repr(name) for name in dict.fromkeys(unknown))}; "
                    "if there should be one, `apt-get update` may make it known")
        if re.search(r"No space left|don't have enough free space|Not enough disk space", text):
            return f"there is no space for the packages in {self.folder}"
        fetched = re.search(r"Failed to fetch (\S+)\s+(.*)", text)
        if fetched:
            return f"cannot download {fetched[1]}: {fetched[2]}"
        reasons = re.findall(r"^ *(\S+ : (?:Pre)?Depends: .*)", text, re.MULTILINE)
        reasons = reasons or [line.strip() for line in text.splitlines() if line.startswith("E:")]
        return f"apt cannot install {' '.join(names)}: " + "; ".join(reasons)


def digest_of(file):
    try:
        with open(file, "rb") as contents:
            return hashlib.file_digest(contents, "sha256").hexdigest()
    except OSError as error:
        raise PackageError(f"cannot read the package {file}: {error.strerror}") from None


def unpack(package):
    if digest_of(package.file) != package.digest:
        raise PackageError(f"{package.file} is damaged: its SHA-256 is not the package list's; remove it")
    script = subprocess.run(["dpkg-deb", "--info", package.file, "postinst"], capture_output=True, check=False)
    package.script.write_bytes(script.stdout if script.returncode == 0 else b"")
    part = package.contents.with_suffix(".part")
    with open(part, "wb") as out:
        done = subprocess.run(["dpkg-deb", "--fsys-tarfile", package.file], stdout=out, stderr=subprocess.PIPE,
                              text=True, check=False)
    if done.returncode != 0:
        part.unlink()
        raise PackageError(f"cannot unpack {package.file}: {done.stderr.strip()}")
    part.rename(package.contents)


def members(package):
    """The open tar file of a package and the entries in it."""
    try:
        with tarfile.open(package.contents, "r:") as tar:
            return tar.getmembers()
    except tarfile.TarError as error:
        raise PackageError(f"cannot read {package.contents}: {error}; remove it") from None


VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def _expansions(words, variables):
    """The words with each way to give the variables in them a value. None: one has no known value."""
    ways = [words]
    while any("$" in word for word in ways[0]):
        match = next((found for word in ways[0] if (found := VARIABLE.search(word))), None)
        values = variables.get(match[1] or match[2]) if match else None
        if not values:
            return []
        ways = [[word.replace(match[0], value) for word in way] for way in ways for value in values]
    return ways


def alternatives(script):
    """The links that `update-alternatives --install` in a postinst script makes, as (link, name, path,
    priority, [(link, name, path) of each slave]). Understands literal words, plain assignments and
    `for` loops over words: what the packages of Debian have."""
    variables = {}
    found = []
    for line in re.sub(r"\\\n", " ", script).splitlines():
        line = line.strip()
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        if len(words) == 1 and (match := re.fullmatch(r"(\w+)=([^$`(]*)", words[0])):
            variables[match[1]] = [match[2]]
        elif words[:1] == ["for"] and words[2:3] == ["in"]:
            variables[words[1]] = [word.rstrip(";") for word in words[3:] if word not in ("do", ";")]
        elif "update-alternatives" in words or "/usr/bin/update-alternatives" in words:
            for way in _expansions(words, variables):
                found += _installed(way)
    return found


def _installed(words):
    groups = []
    for index, word in enumerate(words):
        if word == "--install" and len(words) > index + 4 and words[index + 4].lstrip("-").isdigit():
            link, name, path, priority = words[index + 1:index + 5]
            groups.append((link, name, path, int(priority), []))
        elif word == "--slave" and groups and len(words) > index + 3:
            groups[-1][4].append(tuple(words[index + 1:index + 4]))
    return groups
