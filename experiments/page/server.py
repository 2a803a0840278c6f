"""Starts the page: folders, queue, networks, application and socket."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.page.limits import Limits

ENVIRONMENT = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
"""Set before Gradio is imported, so that it asks nobody for anything."""


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise OSError(error.errno, error.strerror.split(" (")[0], f"port {port} of {host}") from None


class Running:
    """A page that is being served.

    Attributes:
      address: of the page.
    """

    def __init__(self, address: str, thread: threading.Thread):
        self.address = address
        self._thread = thread

    def wait(self) -> None:
        """Waits until the server ends, or until the process is interrupted."""
        while self._thread.is_alive():
            self._thread.join(timeout=1)


@contextlib.contextmanager
def serving(
    host: str,
    port: int,
    output: Path,
    limits: Limits,
    *,
    models: Sequence[Path] = (),
    lpips: Path | None = None,
    steps: int | None = None,
) -> Iterator[Running]:
    """Serves the page as long as the block lasts.

    Args:
      host, port: to listen on; port 0 for any free one.
      output: folder of uploads and results.
      limits: of visitors.
      models: folders of networks to choose from, beside the embedded one.
      lpips: folder of the distance that is minimised; None for the default one.
      steps: of every search; None for those of the command.
    Raises:
      OSError: the port is taken, or the folder cannot be made.
      UserError: a folder holds no network.
    """
    os.environ |= ENVIRONMENT
    import gradio
    import uvicorn

    from experiments.page import components, events, layout, network_list, serving
    from experiments.page.desk import Desk
    from experiments.page.repair import Workshop
    from experiments.page.runner import Runner
    from experiments.page.storage import Storage

    networks = network_list.choices(models)
    output = output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    with _listening(host, port) as listening:
        store, runner = Storage(output, limits.hours), Runner()
        with gradio.Blocks(title=layout.TITLE, analytics_enabled=False) as blocks:
            events.connect(layout.build(networks, limits), Desk(store, runner, Workshop(limits, lpips), steps))
        fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
        theme = gradio.themes.Default(**fonts)
        app = serving.application(blocks, store, limits, theme=theme, css=components.style())
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True, name="server")
        stop = threading.Event()
        sweeper = threading.Thread(target=serving.sweep, args=(store, runner.folders, stop), daemon=True)
        thread.start()
        sweeper.start()
        name = f"[{host}]" if ":" in host else host
        try:
            yield Running(f"http://{name}:{listening.getsockname()[1]}/", thread)
        finally:
            stop.set()
            server.should_exit = True
            thread.join(timeout=10)
