"""Exit with 0 if the studio of this container responds, with 1 if not."""

import http.client
import sys

try:
    studio = http.client.HTTPConnection("127.0.0.1", 8077, timeout=4)  # ignores proxies, unlike urllib
    studio.request("GET", "/api/health")
    sys.exit(studio.getresponse().status != 200)
except (OSError, http.client.HTTPException) as error:
    sys.exit(f"the studio does not respond: {error}")
