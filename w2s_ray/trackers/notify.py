"""Sentences to a webhook: when a study ends, when a cell fails, when its steps wait for long."""

from __future__ import annotations

import html
import json
from typing import Literal
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from w2s_ray.config.track import Webhook
from w2s_ray.core.errors import ResourceError
from w2s_ray.core.secrets import revealed
from w2s_ray.trackers.contract import Sink, Spot, Tracker

ANSWER_S = 8.0


class Notify(Tracker):
    """A webhook in Slack's format, which Mattermost and others have as well; `notify: URL` is short for it."""

    type: Literal["notify"] = "notify"
    url: Webhook

    remedy = "check its address"
    sentences = True

    def sink(self, spot: Spot) -> Sink:
        """Posts to it."""
        return _Webhook(revealed(self.url.get_secret_value(), spot.environ))


class _Webhook(Sink):
    def __init__(self, url: str) -> None:
        self._url = url

    def say(self, text: str) -> None:
        """The names in it are anybody's: `<!channel>` must call nobody."""
        body = json.dumps({"text": html.escape(text, quote=False)}).encode()
        try:
            request = Request(self._url, body, {"Content-Type": "application/json"})
            urlopen(request, timeout=ANSWER_S).close()
        except HTTPError as error:
            raise ResourceError(f"it answered {error.code} {error.reason}") from None
        except (URLError, OSError, ValueError) as error:
            why = getattr(error, "reason", type(error).__name__)  # a message could hold the address
            raise ResourceError(f"it cannot be reached ({why})") from None
