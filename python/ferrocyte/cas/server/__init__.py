"""The annotation service: the protocol over HTTP, for references of one's own.

Needs the packages of the extra `server`, and is loaded by ``ferrocyte cas serve`` alone.
"""

from __future__ import annotations

from ferrocyte._errors import MissingPackageError

try:
    import python_multipart as _python_multipart  # noqa: F401 - Starlette loads it when a form comes
    import starlette as _starlette  # noqa: F401
    import uvicorn as _uvicorn  # noqa: F401
except ImportError as err:
    raise MissingPackageError(
        f"The annotation service needs packages that are not installed ({err}). "
        "`pip install 'ferrocyte[server]'` brings them."
    ) from None

from ferrocyte.cas.server._app import create_app
from ferrocyte.cas.server._limits import Limits
from ferrocyte.cas.server._references import References
from ferrocyte.cas.server._serve import serve
from ferrocyte.cas.server._service import Service

__all__ = ["Limits", "References", "Service", "create_app", "serve"]
