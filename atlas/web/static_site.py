"""The explorer without a server: a folder for any host that serves ranges, or one HTML file that opens by a double click."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlas.errors import InputError, UsageError
from atlas.io.files import replaced_file, translated_os_errors
from atlas.query.client import Atlas
from atlas.web.listing import listing

EXPLORER = Path(__file__).parent / "explorer"
# A browser decodes, unpacks and holds the whole of a single file.
MOST_BYTES = 200_000_000
_ENGINE = ("duckdb.js", "worker.js", "duckdb-eh.wasm.gz", "LICENSES.txt")
_RULES = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self' blob:; base-uri 'none'; form-action 'none'"
)
_RULES_ALONE = (
    "default-src 'none'; script-src 'unsafe-inline' data: blob: 'wasm-unsafe-eval'; worker-src blob:; style-src 'unsafe-inline'; img-src data:; "
    "connect-src data: blob:; base-uri 'none'; form-action 'none'"
)
_IMPORT = re.compile(r'(from\s*")(\.{1,2}/[^"]+)(")')


@dataclass(frozen=True)
class SiteResult:
    """Bytes that were written: all of them, and those of the atlas."""

    size_bytes: int
    atlas_bytes: int


def export_site(file: Path, out: Path, *, note: str = "", engine: Path | None = None) -> SiteResult:
    """Write the explorer of an atlas as a folder for a host of static files.

    Pages read the parts of the atlas that they need, by HTTP range requests. Any host serves it that answers `Range` and `HEAD`, such as
    GitHub Pages, or `atlas serve` itself; Python's http.server does not.

    Args:
        file: The atlas; a slim one keeps pages fast.
        out: Folder to write, made where it is missing; files of the same names are replaced.
        note: What was left out of the atlas, for the foot of every page.
        engine: Folder with DuckDB for browsers; that of the package where None.

    Returns:
        Sizes.

    Raises:
        InputError: DuckDB for browsers is not there.
        OutputError: A file cannot be written.
    """
    source = _engine(engine)
    with translated_os_errors(out):
        (out / "explorer" / "duckdb").mkdir(parents=True, exist_ok=True)
        for name, content in _sources():
            target = out / "explorer" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content, encoding="utf-8")
        for name in ("LICENSES.txt", "SHA256SUMS"):
            shutil.copy(EXPLORER / "vendor" / name, out / "explorer" / "vendor" / name)
        for name in _ENGINE:
            shutil.copy(source / name, out / "explorer" / "duckdb" / name)
        (out / "index.json").write_text(_index(file, note), encoding="utf-8")
        page = (EXPLORER / "index.html").read_text(encoding="utf-8")
        (out / "index.html").write_text(_with_rules(page, _RULES), encoding="utf-8")
        with replaced_file(out / "atlas.duckdb") as fresh:
            shutil.copy(file, fresh)
    written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return SiteResult(written, file.stat().st_size)


def export_html(file: Path, out: Path, *, note: str = "", engine: Path | None = None) -> SiteResult:
    """Write the explorer of an atlas, the atlas and the engine as one HTML file, which works without network or server.

    Args:
        file: The atlas; a slim one.
        out: HTML file, which is replaced.
        note: What was left out of the atlas, for the foot of every page.
        engine: Folder with DuckDB for browsers; that of the package where None.

    Returns:
        Sizes.

    Raises:
        InputError: DuckDB for browsers is not there.
        UsageError: The atlas is too large for one page.
        OutputError: The file cannot be written.
    """
    source = _engine(engine)
    size = file.stat().st_size
    if size > MOST_BYTES:
        raise UsageError(
            f"{file} has {size / 1e6:,.0f} MB, and a browser opens no more than {MOST_BYTES / 1e6:,.0f} MB in one page; "
            "leave more out with --top, or name a set; or write a site"
        )
    modules = {f"atlas/{name}": content for name, content in _sources() if name.endswith(".js")}
    modules["atlas/duckdb/duckdb.js"] = (source / "duckdb.js").read_text(encoding="utf-8")
    addresses = {name: _data_url(_absolute(name, content)) for name, content in modules.items()}
    page = (EXPLORER / "index.html").read_text(encoding="utf-8")
    style = (EXPLORER / "style.css").read_text(encoding="utf-8")
    page = re.sub(r'<link rel="icon"[^>]*>\n', "", page)
    page = re.sub(r'<link rel="stylesheet"[^>]*>', lambda _: f"<style>{style}</style>", page)
    page = re.sub(r"<script type=\"module\"[^>]*></script>\n", "", page)
    parts = {
        "index": _index(file, note).encode(),
        "worker": (source / "worker.js").read_bytes(),
        "wasm": gzip.decompress((source / "duckdb-eh.wasm.gz").read_bytes()),
        "atlas": file.read_bytes(),
    }
    licences = "\n".join(
        (folder / "LICENSES.txt").read_text(encoding="utf-8") for folder in (EXPLORER / "vendor", source)
    )
    scripts = [
        _script("text/plain", licences, "licences"),
        *(
            _script("text/plain", base64.b64encode(gzip.compress(data, 6, mtime=0)).decode(), f"packed-{name}")
            for name, data in parts.items()
        ),
        _script("importmap", json.dumps({"imports": addresses})),
        _script("module", _START),
    ]
    page = _with_rules(page, _RULES_ALONE).replace("</body>", "\n".join([*scripts, "</body>"]))
    with translated_os_errors(out), replaced_file(out) as fresh:
        fresh.write_text(page, encoding="utf-8")
    return SiteResult(out.stat().st_size, size)


# Unpacks the parts of a single file, and starts the explorer. The engine is given as a data address: from a file, a blob of WebAssembly is never read.
_START = """
const unpacked = async (name) => {
  const element = document.getElementById(`packed-${name}`);
  const bytes = Uint8Array.from(atob(element.textContent), (one) => one.charCodeAt(0));
  element.remove();
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
};
const text = (bytes) => new TextDecoder().decode(bytes);
const address = (bytes) => new Promise((resolve) => { const reader = new FileReader(); reader.onload = () => resolve(reader.result); reader.readAsDataURL(new Blob([bytes], { type: "application/wasm" })); });
globalThis.ATLAS_FILES = {
  index: JSON.parse(text(await unpacked("index"))),
  worker: text(await unpacked("worker")),
  wasm: await address(await unpacked("wasm")),
  atlas: await unpacked("atlas"),
};
await import("atlas/app.js");
"""


def _script(kind: str, text: str, name: str | None = None) -> str:
    """Return an element whose text cannot end it."""
    known = f' id="{name}"' if name else ""
    return f'<script type="{kind}"{known}>{text.replace("</", "<" + chr(92) + "/")}</script>'


def _engine(given: Path | None) -> Path:
    folder = given or EXPLORER / "duckdb"
    missing = [name for name in _ENGINE if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"{folder} has no DuckDB for browsers ({', '.join(missing)} missing); run: make vendor (it needs Node), or name a folder with --engine"
        )
    return folder


def _sources() -> Iterator[tuple[str, str]]:
    """Yield names and texts of the files of the explorer, with the driver of static sites in the place of the other."""
    for path in sorted(EXPLORER.rglob("*")):
        name = path.relative_to(EXPLORER).as_posix()
        if path.suffix in (".js", ".css", ".svg") and not name.startswith("duckdb/") and name != "static.js":
            yield name, (EXPLORER / "static.js" if name == "driver.js" else path).read_text(encoding="utf-8")


def _absolute(name: str, text: str) -> str:
    """Return a module with the modules that it imports by their names in the import map."""

    def renamed(found: re.Match[str]) -> str:
        parts = name.split("/")[:-1]
        for part in found[2].split("/"):
            if part == "..":
                parts.pop()
            elif part != ".":
                parts.append(part)
        return f"{found[1]}{'/'.join(parts)}{found[3]}"

    return _IMPORT.sub(renamed, text)


def _data_url(text: str) -> str:
    return f"data:text/javascript;base64,{base64.b64encode(text.encode()).decode()}"


def _index(file: Path, note: str) -> str:
    with Atlas(file) as atlas:
        found: dict[str, Any] = listing({file.stem: atlas})
    return json.dumps(found | {"note": note}, ensure_ascii=False)


def _with_rules(page: str, rules: str) -> str:
    """Return a page that states what it may load, since no server does."""
    return page.replace(
        '<meta charset="utf-8">',
        f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{rules}">',
        1,
    )
