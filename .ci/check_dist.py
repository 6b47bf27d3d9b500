"""Check what the sdist and the wheel in a folder hold: python .ci/check_dist.py FOLDER"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

LINKS = ("data", "encoders", "eval", "index")  # lsr/<name> is a link to ../<name>
REQUIRED = (
    "lsr/py.typed",
    "_lsr-stubs/__init__.pyi",
    "_lsr-stubs/encoders.pyi",
    "_lsr-stubs/index.pyi",
    "lsr/encoders/catalogue.toml",
    "lsr/eval/published.json",
    "lsr/eval/report/page.css",
    "lsr/eval/report/page.html",
    "lsr/eval/report/report.md",
    "lsr/data/collections/arxiv-cs/corpus.jsonl.gz",
    "lsr/data/models/minilm/1_Pooling/config.json",
    "lsr/data/models/minilm/LICENSE",
    "lsr/data/models/minilm/config.json",
    "lsr/data/models/minilm/model.safetensors",
    "lsr/data/models/minilm/modules.json",
    "lsr/data/models/minilm/tokenizer.json",
    "lsr/data/models/splade-tiny/LICENSE",
    "lsr/data/models/splade-tiny/config.json",
    "lsr/data/models/splade-tiny/model.safetensors",
    "lsr/data/models/splade-tiny/tokenizer.json",
)
ROOTS = {"lsr", "_lsr-stubs"}
CPP = {".cpp", ".h", ".txt"}


def check_wheel(names: set[str]) -> list[str]:
    """What is wrong with the files of a wheel."""
    wrong = []
    modules = {path.as_posix() for path in Path("lsr").rglob("*.py")}
    modules |= {f"lsr/{path.as_posix()}" for link in LINKS for path in Path(link).rglob("*.py")}
    shipped = {name for name in names if name.endswith(".py")}
    wrong += [f"missing {name}" for name in sorted(modules - shipped)]
    wrong += [f"unexpected {name}" for name in sorted(shipped - modules)]
    wrong += [f"missing {name}" for name in REQUIRED if name not in names]
    for name in sorted(names):
        path = PurePosixPath(name)
        metadata = path.parts[0].startswith("lsr_engine-") and path.parts[0].endswith(".dist-info")
        compiled = path.suffix == ".so"
        if not metadata and not compiled and (path.parts[0] not in ROOTS or path.suffix in CPP):
            wrong.append(f"unexpected {name}")
    extensions = [name.partition(".")[0] for name in names if name.endswith(".so")]
    if extensions != ["_lsr"]:
        wrong.append(f"the compiled modules are {extensions}, not _lsr alone")
    licences = ["LICENSE", *(path.as_posix() for path in Path("data/models").glob("*/LICENSE"))]
    wrong += [
        f"missing {end}"
        for end in licences
        if not any(name.endswith(f"licenses/{end}") for name in names)
    ]
    return wrong


def check_sdist(names: set[str]) -> list[str]:
    """What is wrong with the files of an sdist, without the folder they all lie in."""
    required = {"CMakeLists.txt", "LICENSE", "README.md", "pyproject.toml", "lsr/__init__.py"}
    required |= {path.as_posix() for path in Path().glob("*/kernels/*")}
    required |= {path.as_posix() for path in Path("lsr/native").iterdir()}
    wrong = [f"missing {name}" for name in sorted(required - names)]
    for name in sorted(names):
        path = PurePosixPath(name)
        copied = path.parts[0] == "lsr" and len(path.parts) > 1 and path.parts[1] in LINKS
        made = path.parts[0] in (".venv", "build", "demo", "dist") or path.suffix in (".so", ".pyc")
        if copied or made:
            wrong.append(f"unexpected {name}")
    return wrong


def main(folder: str) -> int:
    (sdist,) = Path(folder).glob("*.tar.gz")
    (wheel,) = Path(folder).glob("*.whl")
    with tarfile.open(sdist) as tar:
        inside = {name.partition("/")[2] for name in tar.getnames()} - {""}
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if not name.endswith("/")}
    wrong = [f"{sdist.name}: {line}" for line in check_sdist(inside)]
    wrong += [f"{wheel.name}: {line}" for line in check_wheel(packed)]
    for path, count in ((sdist, len(inside)), (wheel, len(packed))):
        print(f"{path.name}: {count} files, {path.stat().st_size / 1e6:.1f} MB")
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
