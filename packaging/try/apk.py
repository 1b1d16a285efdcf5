"""Checks an .apk as Alpine's tool does: its three parts, its sums, and its signature.

usage: apk.py FILE [PUBLIC_KEY]

An .apk is two or three gzip streams behind each other, each with a part of a tar archive: the signature, if there is one, of the
second; that one, with .PKGINFO and the scripts, has the hash of the third; and the files, each with its own hash.
"""

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zlib


def streams(data):
    """The gzip streams: their bytes, and what they unpack to."""
    while data:
        unpacker = zlib.decompressobj(wbits=31)
        content = unpacker.decompress(data) + unpacker.flush()
        length = len(data) - len(unpacker.unused_data)
        yield data[:length], content
        data = unpacker.unused_data


def members(content):
    """The entries of a part, which may lack the two blocks that end an archive."""
    with tarfile.open(fileobj=io.BytesIO(content + bytes(1024))) as archive:
        return [(entry, archive.extractfile(entry).read() if entry.isfile() else b"") for entry in archive]


def check_signature(control, key, members_of_signature):
    [(entry, signature)] = members_of_signature
    assert entry.name == f".SIGN.RSA.{key.rsplit('/', 1)[-1]}", entry.name
    with tempfile.NamedTemporaryFile() as file:
        file.write(signature)
        file.flush()
        command = ["openssl", "dgst", "-sha1", "-verify", key, "-signature", file.name]
        subprocess.run(command, input=control, check=True, stdout=subprocess.DEVNULL)


def main():
    path, *keys = sys.argv[1:]
    with open(path, "rb") as file:
        parts = list(streams(file.read()))
    assert len(parts) == (3 if keys else 2), f"{len(parts)} streams"
    (control, control_content), (data, data_content) = parts[-2:]
    inner = dict((entry.name, content) for entry, content in members(control_content))
    assert set(inner) == {".PKGINFO", ".post-install", ".post-upgrade"}, set(inner)
    for name, file in ((".post-install", "apk"), (".post-upgrade", "apk-upgrade")):
        with open(f"packaging/hints/{file}", "rb") as script:
            assert inner[name] == script.read(), f"{name} is another"
    info = [line.split(" = ", 1) for line in inner[".PKGINFO"].decode().splitlines() if not line.startswith("#")]
    fields = dict(info)
    assert fields["pkgname"] == "mosquitto-iotda-auth" and fields["license"] == "Apache-2.0", fields
    assert [value for name, value in info if name == "depend"] == [f"so:libc.musl-{fields['arch']}.so.1"], info
    assert fields["datahash"] == hashlib.sha256(data).hexdigest(), "datahash is wrong"
    files = members(data_content)
    for entry, content in files:
        assert (entry.uid, entry.gid) == (0, 0) and not entry.mode & 0o022, entry.name
        assert entry.name.startswith("usr") or entry.isdir(), entry.name
        if entry.isfile():
            found = entry.pax_headers.get("APK-TOOLS.checksum.SHA1")
            assert found == hashlib.sha1(content).hexdigest(), f"{entry.name}: checksum is {found}"
    times = {entry.mtime for entry, _ in members(control_content) + files}
    assert len(times - {0}) == 1, f"not the commit's time alone: {times}"
    names = {entry.name for entry, _ in files}
    assert {"usr/lib/mosquitto_iotda_auth.so", "usr/bin/iotda-auth"} <= names, names
    if keys:
        check_signature(control, keys[0], members(parts[0][1]))
    print(f"{path.rsplit('/', 1)[-1]}: {len(files)} entries, sums right, {'signed' if keys else 'no signature'}")


main()
