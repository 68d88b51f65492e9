"""Send one message by Apprise: a program of its own, run by its path and ended with the message.

The root never imports Apprise (it is large, and a mail server may hang): it runs this, kills it when it takes too long,
and tries again later. The message comes in the environment, so that a full disk keeps nobody from being told.
Exit status: 0 sent; 1 not sent, with the reason as the last line of output; 2 it can't be sent in this way at all.

With `SUPERVISOR_TREE_ALERT_URLS` nothing is sent: the last line of output is the list of the URLs (by their labels)
that Apprise does not know, and the status is 2 if there are any.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any


def main() -> int:
    try:
        import apprise
    except ImportError:
        return _refuse("needs the library apprise: python -m pip install 'supervisor-tree[notify]'")
    # Apprise says why only in its log; of all that it says the last warning is the reason.
    logging.basicConfig(stream=sys.stdout, level=logging.WARNING, format="%(message)s")

    def target_of(url: str) -> Any:
        logging.disable(logging.CRITICAL)  # it would show the whole URL, password included
        target = apprise.Apprise.instantiate(url)
        logging.disable(logging.NOTSET)
        return target

    urls = os.environ.pop("SUPERVISOR_TREE_ALERT_URLS", None)
    if urls is not None:
        unknown = [label for label, url in json.loads(urls) if target_of(url) is None]
        return _refuse(json.dumps(unknown)) if unknown else 0
    target = target_of(os.environ.pop("SUPERVISOR_TREE_ALERT_URL"))
    message = json.loads(os.environ.pop("SUPERVISOR_TREE_ALERT"))
    if target is None:
        return _refuse(f"Apprise knows no such address: {message['label']}")
    everybody = apprise.Apprise()
    everybody.add(target)
    sent = everybody.notify(
        body=message["text"], title=message["title"], notify_type=message["type"], body_format="text"
    )
    return 0 if sent else 1


def _refuse(reason: str) -> int:
    sys.stdout.write(f"{reason}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
