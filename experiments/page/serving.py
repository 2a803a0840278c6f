"""The web application: Gradio's page, a door for uploads, a door for pictures, and what keeps visitors apart.

Gradio's own doors for files are closed: uploads go into the visitor's folder and nowhere else, and pictures come from
there. A visitor is known by a cookie. Headers forbid the browser to ask any other machine for anything.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse

from experiments.page import results, storage
from experiments.page.limits import Limits
from experiments.page.storage import Storage
from jaxgan.errors import UserError
from jaxgan.photos.opening import open_picture

if TYPE_CHECKING:
    import gradio

COOKIE = "jaxgan_visitor"
SWEEP_SECONDS = 600.0
"""Time between two looks for folders that are too old."""
CLOSED = ("/gradio_api/upload", "/gradio_api/file", "/gradio_api/proxy", "/gradio_api/stream", "/gradio_api/info")
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-dns-prefetch-control": "off",
}


def visitor_of(cookies: dict[str, str]) -> str:
    """The visitor that a request comes from.

    Raises:
      UserError: the browser keeps no cookies.
    """
    visitor = cookies.get(COOKIE)
    if not storage.is_visitor(visitor):
        raise UserError("The browser sent no cookie; allow cookies for this page, and reload it.")
    return str(visitor)


def application(blocks: gradio.Blocks, store: Storage, limits: Limits, **mounting: Any) -> Any:
    """Makes the application of a page.

    Args:
      blocks: the page.
      store: the visitors' folders.
      limits: of uploads.
      mounting: theme, styles and the like.
    """
    import gradio

    app = doors(store, limits)
    gradio.mount_gradio_app(
        app,
        blocks,
        path="/",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        **mounting,
    )
    return Guard(app)


def doors(store: Storage, limits: Limits) -> FastAPI:
    """The doors for uploads and pictures, to which the page is added."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.post("/upload/photograph")
    async def upload_photograph(request: Request, name: str) -> JSONResponse:
        """Takes a photograph into a new draft; answers its name, or what is wrong with it."""
        folder = store.make(visitor_of(request.cookies), "draft")
        (folder / "photograph").mkdir()
        return await _answer(request, folder / "photograph" / _file_name(name), folder.name, limits, folder)

    @app.post("/upload/mask/{draft}")
    async def upload_mask(request: Request, draft: str, name: str) -> JSONResponse:
        """Takes a mask for a draft."""
        folder = store.find(visitor_of(request.cookies), draft)
        if folder is None:
            raise HTTPException(404)
        return await _answer(request, folder / "mask-upload" / _file_name(name), folder.name, limits, None)

    @app.get("/mine/{name}/download.zip")
    def download(request: Request, name: str) -> FileResponse:
        """Sends everything about a result."""
        folder = store.find(visitor_of(request.cookies), name)
        if folder is None or not (folder / storage.RECORD).exists() or not results.load(folder).is_finished:
            raise HTTPException(404)
        stem = Path(results.load(folder).draft.name).stem
        return FileResponse(results.download(folder), filename=f"{stem}-repaired.zip", media_type="application/zip")

    @app.get("/mine/{name}/{picture}")
    def picture(request: Request, name: str, picture: str) -> FileResponse:
        """Sends a picture of a draft or result of the visitor's own."""
        folder = store.find(visitor_of(request.cookies), name)
        if folder is None or picture not in {path.name for path in folder.glob("views/*")}:
            raise HTTPException(404)
        return FileResponse(folder / "views" / picture, headers={"cache-control": "no-cache, private"})

    @app.exception_handler(UserError)
    def tell(request: Request, error: UserError) -> JSONResponse:
        return JSONResponse({"error": str(error)})

    return app


async def _answer(request: Request, path: Path, name: str, limits: Limits, new: Path | None) -> JSONResponse:
    """Receives a file; a folder that was made for it goes away if it is refused."""
    try:
        path.parent.mkdir(exist_ok=True)
        await _receive(request, path, limits)
    except (UserError, OSError) as error:
        shutil.rmtree(new or path.parent, ignore_errors=True)
        return JSONResponse({"error": str(error).replace(str(path), path.name)})
    return JSONResponse({"name": name, "file": path.name})


async def _receive(request: Request, path: Path, limits: Limits) -> None:
    """Writes a file as it arrives, and looks whether it is a picture.

    Raises:
      UserError: it is too large, or no picture.
    """
    received = 0
    with open(path, "wb") as file:
        async for piece in request.stream():
            received += len(piece)
            if received > 1e6 * limits.megabytes:
                raise UserError(
                    f"{path}: the file has more than {limits.megabytes:g} million bytes, which is the most that this "
                    "page takes: save it as JPEG, or reduce it"
                )
            file.write(piece)
    with open_picture(path, most_pixels=int(1e6 * limits.megapixels)):
        pass


def _file_name(text: str) -> str:
    """The name of an uploaded file without folders and control characters."""
    name = "".join(letter for letter in text.replace("\\", "/").rsplit("/", 1)[-1] if letter.isprintable()).strip()
    short = name.encode()[-200:].decode(errors="ignore")
    return short if short.strip(".") else "photograph"


class Guard:
    """Gives every visitor a cookie, adds the headers, and closes Gradio's doors for files."""

    def __init__(self, app: Callable):
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Callable, send: Callable) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if scope["path"].startswith(CLOSED):
            return await JSONResponse({"error": "closed"}, status_code=404)(scope, receive, send)
        is_known = storage.is_visitor(_cookie(scope))

        async def send_with_headers(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                if scope["path"] == "/" and not is_known:
                    cookie = f"{COOKIE}={storage.new_identifier()}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Strict"
                    added.append((b"set-cookie", cookie.encode()))
                message = message | {"headers": [*message["headers"], *added]}
            await send(message)

        return await self._app(scope, receive, send_with_headers)


def _cookie(scope: dict[str, Any]) -> str | None:
    text = dict(scope["headers"]).get(b"cookie", b"").decode("latin-1")
    try:
        morsel = SimpleCookie(text).get(COOKIE)
    except CookieError:
        return None
    return None if morsel is None else morsel.value


def sweep(store: Storage, busy: Callable[[], set[Path]], stop: threading.Event) -> None:
    """Deletes what is too old, again and again until `stop` is set."""
    while True:
        store.delete_old(busy=busy())
        if stop.wait(SWEEP_SECONDS):
            return
