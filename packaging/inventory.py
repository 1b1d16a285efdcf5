"""What is linked into the library and the tool: an SBOM, and the notices that its licences ask for.

usage: inventory.py VERSION EPOCH RUST ZIG SBOM NOTICES METADATA...

RUST is the folder of tests/support/fetch-rust, ZIG that of the package ziglang. Each METADATA is a file of `cargo metadata`: of
this project, or of Rust's own std. With "page" in its name, it is of what the parameter page is compiled to. The texts come from the
crates' own files. The output is the same for the same input.
"""

import datetime
import json
import pathlib
import re
import sys
import uuid

# What is shipped, and what Rust links into it.
ROOTS = {"mosquitto-iotda-auth", "iotda-auth", "std"}
PAGE_ROOTS = {"iotda-page", "std"}
TEXTS = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)[^/]*", re.IGNORECASE)


class Part:
    """Something that is linked in: a name, a version, a licence as SPDX has it, and texts."""

    def __init__(self, name, version, licence, source, texts, needs=()):
        self.name, self.version, self.licence, self.source = name, version, licence, source
        self.texts, self.needs = texts, sorted(needs)

    @property
    def ref(self):
        return f"pkg:{self.source}/{self.name}@{self.version}"


def texts_in(folder):
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and TEXTS.fullmatch(file.name)]
    return [file.read_text(encoding="utf-8", errors="replace") for file in files]


def spdx(expression):
    """Before SPDX had expressions, crates wrote a slash for OR."""
    return re.sub(r"\s*/\s*", " OR ", expression or "")


def is_linked(package):
    """A macro runs in the compiler."""
    return not any("proc-macro" in target["kind"] for target in package["targets"])


def crates_of(metadata, roots):
    """The crates that are linked into what is shipped, and for each of them, which others it needs; theirs and ours."""
    packages = {package["id"]: package for package in metadata["packages"]}
    needs = {
        node["id"]: [
            dep["pkg"]
            for dep in node["deps"]
            if any(kind["kind"] is None for kind in dep["dep_kinds"]) and is_linked(packages[dep["pkg"]])
        ]
        for node in metadata["resolve"]["nodes"]
    }
    left = [key for key, package in packages.items() if package["name"] in roots]
    seen = set()
    while left:
        key = left.pop()
        if key not in seen:
            seen.add(key)
            left += needs[key]
    return [(packages[key], [packages[need] for need in needs[key]]) for key in sorted(seen)]


def ref_of(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def parts_of(file):
    metadata = json.loads(file.read_text(encoding="utf-8"))
    for package, needs in crates_of(metadata, PAGE_ROOTS if "page" in file.name else ROOTS):
        if package["source"]:
            folder = pathlib.Path(package["manifest_path"]).parent
            theirs = [ref_of(need) for need in needs if need["source"]]
            licence = spdx(package["license"])
            yield Part(package["name"], package["version"], licence, "cargo", texts_in(folder), theirs)


def paragraphs(path):
    return path.read_text(encoding="utf-8").split("\n\n")


def rust(folder):
    """Rust's std, by what Debian's package says of it."""
    said = paragraphs(folder / "COPYRIGHT")
    theirs = next(text for text in said if re.match(r"Files:(?s:.)*^\s+library/\*$", text, re.MULTILINE))
    start = next(at for at, text in enumerate(said) if re.match(r"License: MIT\n .", text))
    version = next(line.split()[1] for line in (folder / "MANIFEST").open() if line.startswith("rustc "))
    text = re.search(r"^Copyright:(?s:.)*", theirs, re.MULTILINE).group() + "\n\n" + said[start]
    return Part("rust-std", version.split("+")[0], "MIT OR Apache-2.0", "generic", [text])


def zig(folder, version):
    """What zig adds: the unwinder, the compiler's helpers, and start files or the whole of a libc."""
    lib = folder / "lib"
    for name, licence, texts in (
        ("llvm-libunwind", "Apache-2.0 WITH LLVM-exception", [lib / "libunwind/LICENSE.TXT"]),
        ("zig-compiler-rt", "MIT", [folder / "LICENSE"]),
        ("musl", "MIT", [lib / "libc/musl/COPYRIGHT"]),
        ("glibc-start-files", "LGPL-2.1-or-later", [lib / "libc/glibc/LICENSES"]),
    ):
        yield Part(name, f"zig-{version}", licence, "generic", [file.read_text(encoding="utf-8") for file in texts])


def component(part):
    return {
        "type": "library",
        "bom-ref": part.ref,
        "name": part.name,
        "version": part.version,
        "licenses": [{"expression": part.licence}],
        "purl": part.ref,
    }


def sbom(version, epoch, parts):
    ours = f"pkg:generic/mosquitto-iotda-auth@{version}"
    refs = [part.ref for part in parts]
    inner = {need for part in parts for need in part.needs}
    content = json.dumps([ours, epoch, refs])
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": ours,
                "name": "mosquitto-iotda-auth",
                "version": version,
                "licenses": [{"expression": "Apache-2.0"}],
                "purl": ours,
            },
        },
        "components": [component(part) for part in parts],
        "dependencies": [{"ref": ours, "dependsOn": [ref for ref in refs if ref not in inner]}]
        + [{"ref": part.ref, "dependsOn": [need for need in part.needs if need in refs]} for part in parts],
    }


def notices(parts):
    """Every part with its licence, and each text once, below the names of those that have it."""
    lines = ["mosquitto-iotda-auth is under Apache-2.0; see LICENSE. This is what others wrote and is linked into it.", ""]
    texts = {}
    for part in parts:
        none = "" if part.texts else " (its crate has no file with the text)"
        lines.append(f"{part.name} {part.version}: {part.licence}{none}")
        for text in part.texts:
            text = "\n".join(line.rstrip() for line in text.strip().splitlines())
            texts.setdefault(text, []).append(f"{part.name} {part.version}")
    for text, names in texts.items():
        lines += ["", "=" * 79, ", ".join(dict.fromkeys(names)), "=" * 79, "", text]
    return "\n".join(lines) + "\n"


def main():
    version, epoch, rust_folder, zig_folder, sbom_file, notices_file, *metadata = sys.argv[1:]
    rust_folder, zig_folder = pathlib.Path(rust_folder), pathlib.Path(zig_folder)
    parts = {}
    for file in metadata:
        for part in parts_of(pathlib.Path(file)):
            known = parts.setdefault(part.ref, part)
            known.needs = sorted({*known.needs, *part.needs})
    wheel = next(zig_folder.parent.glob("ziglang-*.dist-info")).name
    for part in [rust(rust_folder), *zig(zig_folder, wheel.split("-")[1].removesuffix(".dist"))]:
        parts[part.ref] = part
    parts = [parts[ref] for ref in sorted(parts)]
    if without := [part.ref for part in parts if not part.licence]:
        sys.exit(f"inventory: these name no licence: {', '.join(without)}")
    bom = json.dumps(sbom(version, int(epoch), parts), indent=1, ensure_ascii=False)
    pathlib.Path(sbom_file).write_text(bom + "\n", encoding="utf-8")
    pathlib.Path(notices_file).write_text(notices(parts), encoding="utf-8")


main()
