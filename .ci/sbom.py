"""The bill of materials of a release: `sbom.py DIST FOLDER` writes one CycloneDX file for all that is in DIST.

Its components are the files of the release with their hashes; below each wheel stand the libraries that are bundled
in it, as the wheel itself names them (PEP 770). It holds no time and no random number, so it can be made again.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any


def main(dist: Path, folder: Path) -> None:
    """Write the bill for the files in `dist` into `folder`."""
    wheels = sorted(dist.glob("*.whl"))
    if not wheels:
        raise SystemExit(f"sbom: there is no wheel in {dist}: run make wheel")
    product = _product(_metadata(wheels[0]))
    files = [_file(path) for path in sorted([*wheels, *dist.glob("*.tar.gz")])]
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": product},
        "components": files,
        "dependencies": [{"ref": product["bom-ref"], "dependsOn": []}],
    }
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{product['name']}-{product['version']}.cdx.json"
    target.write_text(json.dumps(bill, indent=1) + "\n")
    print(target)


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return BytesParser().parsebytes(archive.read(name))


def _product(metadata: Message) -> dict[str, Any]:
    purl = f"pkg:pypi/{metadata['Name']}@{metadata['Version']}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": metadata["Name"],
        "version": metadata["Version"],
        "purl": purl,
        "licenses": [{"expression": metadata["License-Expression"]}],
    }


def _file(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    found: dict[str, Any] = {
        "type": "file",
        "bom-ref": path.name,
        "name": path.name,
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }
    bundled = _bundled(path) if path.suffix == ".whl" else []
    return {**found, "components": bundled} if bundled else found


def _bundled(wheel: Path) -> list[dict[str, Any]]:
    """Components of the wheel's own bills, but for the wheel itself; references made unique by its name."""
    with zipfile.ZipFile(wheel) as archive:
        names = [
            name for name in archive.namelist() if ".dist-info/sboms/" in name and name.endswith(".json")
        ]
        bills = [json.loads(archive.read(name)) for name in names]
    return [
        {**item, "bom-ref": f"{wheel.name}#{item.get('bom-ref', item['name'])}"}
        for bill in bills
        for item in bill.get("components", ())
        if item.get("bom-ref") != bill.get("metadata", {}).get("component", {}).get("bom-ref")
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
