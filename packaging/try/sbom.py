"""sbom.py FILE: the SBOM is what CycloneDX's schema asks for, and names what is linked in and nothing else."""

import json
import pathlib
import sys

import cyclonedx.schema
import jsonschema
import referencing


def schema(name):
    folder = pathlib.Path(cyclonedx.schema.__file__).parent / "_res"
    return json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_text())


def faults(bom):
    """What the schema finds wrong. It refers to two others by their file names."""
    others = [(f"{name}.schema.json", referencing.Resource.from_contents(schema(name))) for name in ["spdx", "jsf-0.82"]]
    main = schema(f"bom-{bom['specVersion']}")
    base = main["$id"].rsplit("/", 1)[0]
    registry = referencing.Registry().with_resources([(f"{base}/{name}", other) for name, other in others])
    validator = jsonschema.Draft7Validator(main, registry=registry)
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(bom)]


bom = json.loads(pathlib.Path(sys.argv[1]).read_text())
found = faults(bom)
assert not found, found
# The check finds something: a member that has no such value.
assert faults({**bom, "components": [{**bom["components"][0], "type": "liberry"}]})
names = {part["name"] for part in bom["components"]}
assert {"sha2", "clap", "rust-std", "musl"} <= names, names
assert not names & {"proptest", "bindgen", "cc", "test-support"}, "what is only built or tested with is listed"
